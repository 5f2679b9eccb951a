"""The world of one seed: who acts next, what is asked of the pipeline, what breaks; then rest, and the judgement."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any, Final
from unittest.mock import patch

import msgspec
from msgspec import Raw

from tests.sim.asks import CHANNELS, Asks
from tests.sim.broker import Broker
from tests.sim.gateway import BrokenRuleError, Gateway, Session, require
from tests.sim.lane import GROUPS, LINKS, POISON, USERS, Kind, Room, SimLane
from tests.sim.store import SimStore
from topics import limits
from topics.codec import encode
from topics.keys import key_of, partition_of
from topics.messages import MAIN, TYPING, Send, Signal
from topics.policy import Policy, PolicySet
from topics.relations import AddMembers, CreateGroup, DeleteGroup, RelationRecord, RemoveMembers
from topics.subscriptions import Level, Subscription
from topics.wire import ReplyTo, ToRequester, ToSession

#: Limits so small that a short run passes each of them.
SMALL: Final[dict[str, int]] = {
    "DEDUPE_WINDOW_MS": 6_000,
    "DEDUPE_PER_DEVICE": 5,
    "CLOCK_SKEW_MS": 4_000,
    "LINK_TIMEOUT_MS": 4_000,
    "QUIET_MS": 700,
    "LOT_BYTES": 700,
    "ENTRY_PAIRS": 2,
    "PAGE_ORDINALS": 4,
    "PAGE_DELTAS": 2,
    "ROLL_ENTRIES": 3,
    "TAIL_SENDS": 3,
    "CHORE_ROWS": 2,
    "CHORE_PAGES": 1,
    "RECENT_ENTRIES": 4,
    "LINK_SLOW_BYTES": 4_000,
}
#: The policy of every app, likewise.
_POLICY: Final = Policy(sessions="any", ground_window_ms=400, presence_window_ms=300, burst_per_s=3)
_REST_ROUNDS: Final = 400
_WORKERS: Final = 3
_BEGAN_MS: Final = 1_000_000


@contextmanager
def small_limits() -> Iterator[None]:
    """The pipeline with SMALL limits."""
    with ExitStack() as patches:
        for name, value in SMALL.items():
            patches.enter_context(patch.object(limits, name, value))
        patches.enter_context(patch("tables.members._FOLD_AT_LEAST", 3))
        yield


class World:
    """One run."""

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.rng = rng = Random(seed)
        self.now_ms = _BEGAN_MS
        self.faults: Counter[str] = Counter()
        self.broker = Broker(lambda: self.now_ms)
        self.partitions = rng.choice([1, 2, 2, 3])
        self.links = rng.choice([3, 4, 5])
        self._trace = trace
        self.room = Room(self.broker, rng, self.faults, self.partitions, self.links, self.trace)
        self.gateways = [
            Gateway(f"k{i}", self.broker, self.partitions, self._emit, self.trace) for i in range(rng.choice([2, 2, 3]))
        ]
        self.groups = [("a", f"g{i}") for i in range(rng.choice([2, 3, 4]))] + [("b", "g0")]
        self.users = [f"u{i}" for i in range(rng.choice([4, 6, 9]))]
        self.sends: list[Send] = []  # for resends
        self._members: dict[tuple[str, str], set[str]] = {group: set() for group in self.groups}  # as was asked for
        self._shapes: dict[tuple[str, str], str] = {}  # of groups, as was asked for last
        self.bad: Counter[tuple[str, int, bytes]] = Counter()  # records that must be rejected
        self._net: dict[tuple[str, str, int], deque[tuple[bytes | None, bytes]]] = {}
        self._stores: dict[tuple[str, int, int], SimStore] = {}
        self._copies: dict[tuple[str, int], list[SimStore]] = {}
        self._ids = 0
        self.places = [(LINKS, 0)] + [(kind, p) for kind in (GROUPS, USERS) for p in range(self.partitions)]
        self.zombies: list[SimLane] = []
        self.owners: dict[tuple[str, int], SimLane] = {}
        for kind, partition in self.places:
            self._open(kind, partition, rng.randrange(_WORKERS))

    def trace(self, line: str) -> None:
        """What happens now."""
        if self._trace is not None:
            self._trace(f"{self.now_ms - _BEGAN_MS:>7} {line}")

    # -- the run -----------------------------------------------------------------------------------------------------

    def run(self, steps: int) -> None:
        """So many turns, then rest."""
        self._begin()
        for _ in range(steps):
            self.now_ms += self.rng.randint(0, 40)
            for gateway in self.gateways:
                gateway.beat()
            self._turn()
            self._revive()
        self.rest()

    def _begin(self) -> None:
        """The policy is in force before there is anything else."""
        for app in sorted({app for app, _ in self.groups}):
            for partition in range(self.partitions):
                self.broker.append("policies", partition, app.encode(), encode(PolicySet(app, _POLICY)))
        for lane in self.owners.values():
            self._run_to_rest(lane)
        for group in self.groups:
            self.create(group)

    def _turn(self) -> None:
        rng, dice = self.rng, self.rng.random()
        if dice < 0.46:
            rng.choice([*self.owners.values(), *self.zombies]).walk(rng.randint(1, 40))
        elif dice < 0.56:
            rng.choice(self.gateways).poll(rng.randint(1, 10))
        elif dice < 0.64:
            self._carry(rng.randint(1, 4))
        elif dice < 0.69:
            self._tell_marker()
        elif dice < 0.94:
            rng.choices(*_REQUESTS)[0](self)
        elif dice < 0.988:
            rng.choices(*_FAULTS)[0](self)
        else:
            self.now_ms += rng.randint(100, 2_500)

    def rest(self) -> None:
        """Everybody wakes, nothing more breaks, and all that is under way comes to an end.

        Raises:
            BrokenRuleError: it does not.
        """
        self.trace("-- rest --")
        for gateway in self.gateways:
            gateway.frozen_until_ms, gateway.lose = 0, 0
        self._settle(4 * limits.LINK_TIMEOUT_MS)
        for group in self.groups:
            self.say(group)
            self.say(group)
        self._settle(0)
        for lane in self.owners.values():  # what is to come once quiet is not in anybody's memory only
            lane.close("restarted")
        self._settle(2 * limits.QUIET_MS)

    def _settle(self, wait_ms: int) -> None:
        quiet_until = self.now_ms + wait_ms
        for _ in range(_REST_ROUNDS):
            self.now_ms += 250
            self.broker.expire()
            for gateway in self.gateways:
                gateway.beat()
                gateway.ask_again()
            self._carry(1 << 30)
            self._revive(always=True)
            while self.broker.ending:
                self._tell_marker()
            for lane in [*self.owners.values(), *self.zombies]:
                self._run_to_rest(lane)
            for gateway in self.gateways:
                gateway.poll(1 << 30)
            if self.now_ms >= quiet_until and self._resting():
                return
        awake = [repr(lane) + " " + lane.where for lane in self.owners.values() if not lane.at_rest()]
        require(False, f"comes not to rest: {awake}, {[g.link for g in self.gateways if not g.at_rest()]}")

    def _run_to_rest(self, lane: SimLane) -> None:
        for _ in range(20_000):
            if lane.closed or lane.at_rest():
                return
            lane.step()
            while self.broker.ending:
                self._tell_marker()
        raise BrokenRuleError(f"{lane!r} never rests")

    def _resting(self) -> bool:
        lanes = all(lane.at_rest() or lane.kind is LINKS for lane in self.owners.values())
        return lanes and all(gateway.at_rest() for gateway in self.gateways) and not any(self._net.values())

    def _tell_marker(self) -> None:
        if self.broker.ending:
            transaction = self.rng.choice(self.broker.ending)
            self.broker.tell(transaction, self.rng.randrange(len(transaction.markers)))
        self.faults["timed out"] += self.broker.expire()

    # -- owners ------------------------------------------------------------------------------------------------------

    def _open(self, kind: Kind, partition: int, worker: int) -> None:
        for zombie in [z for z in self.zombies if (z.kind, z.partition, z.worker) == (kind, partition, worker)]:
            self.zombies.remove(zombie)  # the process that holds the folder is gone before another opens it
        store = self._stores.setdefault((kind.name, partition, worker), SimStore())
        lane = SimLane(self.room, kind, partition, worker, store)
        self.owners[kind.name, partition] = lane
        self.trace(f"{lane!r} opens")

    def _revive(self, *, always: bool = False) -> None:
        """Lanes that closed themselves are opened again, here or elsewhere."""
        for lane in list(self.owners.values()):
            if lane.closed and (always or self.rng.random() < 0.15):
                self._count_closed(lane)
                worker = lane.worker if self.rng.random() < 0.6 else self.rng.randrange(_WORKERS)
                self._open(lane.kind, lane.partition, worker)
        for zombie in [z for z in self.zombies if z.closed]:
            self._count_closed(zombie, "zombie ")
            self.zombies.remove(zombie)

    def _count_closed(self, lane: SimLane, prefix: str = "") -> None:
        self.faults[f"{prefix}{lane.closed}"] += 1

    def crash(self) -> None:
        """A lane's process is gone, between any two steps."""
        lane = self.rng.choice(list(self.owners.values()))
        if not lane.closed:
            self.faults[f"crash before {lane.where}"] += 1
            lane.close("crashed")

    def crash_in_commit(self) -> None:
        """A lane's process is gone on its way through a commit."""
        lane = self.rng.choice(list(self.owners.values()))
        for _ in range(60):
            if lane.closed or lane.commit_step:
                break
            lane.step()
        lane.walk(self.rng.randint(0, 8))
        if not lane.closed:
            self.faults[f"crash before {lane.where}"] += 1
            lane.close("crashed")

    def crash_in_opening(self) -> None:
        """A lane's process is gone while it opens."""
        lane = self.rng.choice(list(self.owners.values()))
        lane.close("crashed")
        self._open(lane.kind, lane.partition, self.rng.randrange(_WORKERS))
        opening = self.owners[lane.kind.name, lane.partition]
        for _ in range(self.rng.randint(1, 8)):
            if not opening.serving:
                opening.step()
        self.faults[f"crash before {opening.where}"] += 1
        opening.close("crashed")

    def take_over(self) -> None:
        """Another worker is assigned a partition; the old owner finishes, or does not know yet."""
        lane = self.rng.choice(list(self.owners.values()))
        if lane.closed:
            return
        if self.rng.random() < 0.3:
            self.faults["rebalance"] += 1
            lane.finish()
        else:
            lane.walk(self.rng.randint(0, 20))
            self.faults[f"frozen before {lane.where}"] += 1
            self.zombies.append(lane)
        others = [worker for worker in range(_WORKERS) if worker != lane.worker]
        self._open(lane.kind, lane.partition, self.rng.choice(others))

    def fail_commit(self) -> None:
        """A send fails, or a commit's outcome stays unknown."""
        lane = self.rng.choice(list(self.owners.values()))
        lane.fail_commit = self.rng.choice(["send", "unknown"])

    def spoil_store(self) -> None:
        """Before a partition moves: its local copy is lost, or older than it was."""
        kind, partition = self.rng.choice(self.places)
        lane = self.owners[kind.name, partition]
        copies = self._copies.setdefault((kind.name, partition), [])
        copies.append(lane.store.copy())
        worker = self.rng.randrange(_WORKERS)
        if worker == lane.worker or any(z.worker == worker for z in self.zombies):
            return
        if self.rng.random() < 0.4:
            self.faults["store lost"] += 1
            self._stores[kind.name, partition, worker] = SimStore()
        else:
            self.faults["store stale"] += 1
            self._stores[kind.name, partition, worker] = self.rng.choice(copies).copy()

    def compact(self) -> None:
        """The broker compacts the changelogs, each up to somewhere."""
        for kind, partition in self.places:
            log = self.broker.log(kind.changelog.name, partition)
            end = len(log.entries)
            self.faults["compacted"] += log.compact(self.rng.choice([end, self.rng.randint(0, end)]))

    # -- gateways ----------------------------------------------------------------------------------------------------

    def gateway_fault(self) -> None:
        """A gateway freezes for a while, restarts, leaves or loses a lot."""
        gateway, rng = self.rng.choice(self.gateways), self.rng
        what = rng.choice(["frozen", "frozen", "restarted", "left", "loses"])
        self.faults[f"gateway {what}"] += 1
        self.trace(f"{gateway.link} {what}")
        if what == "frozen":
            gateway.frozen_until_ms = self.now_ms + rng.choice([300, 2_000, 2 * limits.LINK_TIMEOUT_MS])
        elif what == "restarted":
            gateway.forget()
        elif what == "left":
            gateway.leave()
        else:
            gateway.lose = rng.randint(1, 2)

    def _emit(self, who: str, topic: str, partition: int, key: bytes | None, value: bytes) -> None:
        """A producer keeps order per topic and partition; what it sends to different ones is on different ways."""
        queue = self._net.setdefault((who, topic, partition), deque())
        queue.append((key, value))
        if topic in {"sessions", "relations", "resync", "links"} and self.rng.random() < 0.05:
            self.faults[f"{topic} doubled"] += 1
            queue.append((key, value))

    def _carry(self, ways: int) -> None:
        waiting = [way for way, queue in self._net.items() if queue]
        for way in self.rng.sample(waiting, min(ways, len(waiting))):
            queue = self._net[way]
            for _ in range(len(queue) if ways > len(waiting) else self.rng.randint(1, len(queue))):
                offset = self.broker.append(way[1], way[2], *queue[0])
                self.trace(f"{way[0]} -> {way[1]}/{way[2]}@{offset} {queue[0][1][:150].decode(errors='replace')}")
                queue.popleft()

    # -- requests ----------------------------------------------------------------------------------------------------

    def sessions(self) -> list[Session]:
        """Those that live, as their gateways know it."""
        return [one for gateway in self.gateways for one in gateway.sessions.values()]

    def up(self) -> None:
        """A client connects, perhaps while its old connection still stands."""
        app = self.rng.choice(["a", "a", "b"])
        user = self.rng.choice(self.users)
        if len([s for s in self.sessions() if (s.app, s.user) == (app, user)]) < 4:
            self.rng.choice(self.gateways).up(app, user, self.rng.choice(["d0", "d1"]))

    def down(self) -> None:
        """A client disconnects; or turns up elsewhere first."""
        gateway = self.rng.choice(self.gateways)
        if gateway.sessions and not gateway.frozen:
            slot = self.rng.choice(list(gateway.sessions))
            one = gateway.sessions[slot]
            if self.rng.random() < 0.4:
                self.faults["resumed elsewhere"] += 1
                self.rng.choice(self.gateways).up(one.app, one.user, one.device)
            gateway.down(slot)

    def turn(self) -> None:
        """A client turns away, and says so once or more often."""
        if (found := self._standing()) is not None:
            for _ in range(self.rng.choice([1, 1, 2, 3])):
                found[0].turn(found[1])

    def ask(self) -> None:
        """A client subscribes to what it shows, no more to what it does not, and watches users."""
        if (found := self._standing()) is not None:
            gateway, slot = found
            app = gateway.sessions[slot].app
            wants = [self._want() for _ in range(self.rng.randint(1, 4))]
            gateway.ask(slot, wants, off=self.rng.random() < 0.25)
            if app == "a" and self.rng.random() < 0.3:
                gateway.watch(slot, self.rng.sample(self.users, 2))

    def _standing(self) -> tuple[Gateway, int] | None:
        awake = [one for one in self.gateways if one.sessions and not one.frozen]
        if not awake:
            return None
        gateway = self.rng.choice(awake)
        return gateway, self.rng.choice(list(gateway.sessions))

    def _want(self) -> Subscription:
        name = self.rng.choice(self.groups)[1]
        if self.rng.random() < 0.15:
            return Subscription(name, "server")
        return Subscription(name, self.rng.choice(_LEVELS), self.rng.choice([*CHANNELS, MAIN]))

    def create(self, group: tuple[str, str]) -> None:
        """A group is asked for, with most of the users."""
        users = self.rng.sample(self.users, self.rng.randint(2, len(self.users)))
        shape: Any = self.rng.choices(["team", "direct", "server"], [4, 1, 5])[0]
        members = users[:2] if shape == "direct" else users
        owner = self.rng.choice([None, members[0]])
        request, reply = self._id("q"), self._reply(group[0])
        self._members[group] |= set(members)
        self._shapes[group] = shape
        way = self.rng.choice(["caller", "k0"])
        self._command(CreateGroup(*group, shape, members, owner=owner, request=request, reply=reply), way)
        if shape == "server":
            for command in self._asks(group).founding():
                self._command(command, way)

    def rule(self) -> None:
        """A command on who sees and who may, in an order that makes sense or not; and messages that follow it."""
        servers = [group for group, shape in self._shapes.items() if shape == "server"]
        group = self.rng.choice(servers if servers and self.rng.random() < 0.85 else self.groups)
        request, reply = self._id("q"), self._reply(group[0])
        self._command(msgspec.structs.replace(self._asks(group).one(), request=request, reply=reply))
        for _ in range(self.rng.randint(0, 4)):
            self.say(group)

    def _asks(self, group: tuple[str, str]) -> Asks:
        return Asks(self.rng, group, self.users, self.now_ms)

    def _channel(self, group: tuple[str, str]) -> str:
        """Where to send: most often where there is such a channel."""
        return self.rng.choice([*CHANNELS, *CHANNELS[:2]]) if self._shapes.get(group) == "server" else MAIN

    def relate(self) -> None:
        """A command on a group, in an order that makes sense or not."""
        rng = self.rng
        group = rng.choice(self.groups)
        users = rng.sample(self.users, rng.randint(1, len(self.users)))
        request, reply = self._id("q"), self._reply(group[0])
        kind = rng.choices(["create", "add", "remove", "delete", "renew"], [2, 6, 6, 1, 1])[0]
        if kind == "add":
            self._members[group] |= set(users)
            self._command(AddMembers(*group, users + users[:1], request=request, reply=reply))
        elif kind == "remove":
            gone = users[: rng.randint(1, 2)]
            self._members[group] -= set(gone)
            self._command(RemoveMembers(*group, gone, request=request, reply=reply))
        if kind in {"delete", "renew"}:
            self._members[group].clear()
            self._command(DeleteGroup(*group, request=request, reply=reply))
        if kind in {"create", "renew"}:
            self.create(group)

    def _command(self, command: RelationRecord, way: str = "") -> None:
        self._by_group("relations", command.app, command.group, encode(command), way)

    def burst(self) -> None:
        """Some messages to one group; a server has more channels to send into."""
        group = self.rng.choice(self.groups)
        for _ in range(self.rng.randint(1, 8 if self._shapes.get(group) == "server" else 5)):
            self.say(group)

    def say(self, group: tuple[str, str]) -> None:
        """A user, most often a member, sends a message; most clocks are right."""
        rng = self.rng
        client_id = self._id("m")
        body = Raw(f'"{client_id}{"." * rng.choice([1, 10, 200])}"'.encode())
        late = rng.choices([0, -500, 1_500, -7_000, 9_000], [20, 4, 4, 1, 1])[0]
        sender, device = self._sender(group), rng.choice(["d0", "d1"])
        reply = self._reply(group[0], sender)
        send = Send(*group, sender, device, client_id, self.now_ms + late, body, self._channel(group), reply=reply)
        self.sends.append(send)
        self._by_group("messages", *group, encode(send))

    def _sender(self, group: tuple[str, str]) -> str:
        likely = sorted(self._members[group])
        return self.rng.choice(likely if likely and self.rng.random() < 0.9 else self.users)

    def say_again(self) -> None:
        """A resend: soon, late, or before the first try arrives."""
        if self.sends:
            send = self.rng.choice(self.sends[-20:])
            self.faults["resend"] += 1
            way = self.rng.choice(["caller", "elsewhere"])
            self._by_group("messages", send.app, send.group, encode(send), way)

    def signal(self) -> None:
        """A signal."""
        group = self.rng.choice(self.groups)
        body = Raw(f'"{self._id("s")}"'.encode())
        kind = self.rng.choice([TYPING, "custom"])
        said = Signal(*group, self._sender(group), body, self._channel(group), kind)
        self._by_group("messages", *group, encode(said))

    def bad_record(self) -> None:
        """A record that hurts itself."""
        rng = self.rng
        app, group = rng.choice(self.groups)
        key = key_of(app, group)
        partition = partition_of(key, self.partitions)
        send = Send(app, group, self.users[0], "d0", self._id("x"), self.now_ms, Raw(b'"' + POISON + b'"'))
        add = AddMembers(app, group, self.users[:3], request=POISON.decode())
        topic, value = rng.choice(
            [
                ("messages", encode(send)),
                ("relations", encode(add)),
                ("relations", b"{nothing"),
                ("messages", b'{"t":"send"}'),
                ("sessions", b"\xff"),
                ("messages", encode(Send(app, group, "u0", "d0", "x", 0, Raw(b"1"), reply=ToSession("k0", 1, 999, 1)))),
                ("bindings", b"[]"),
                ("memberships", b"[]"),
                ("links", b"null"),
            ]
        )
        if topic == "links":
            partition = 0
        elif self.partitions > 1 and topic == "messages" and rng.random() < 0.4:
            partition = (partition + 1) % self.partitions
        self.faults["bad record"] += 1
        self.bad[topic, partition, value] += 1
        self.broker.append(topic, partition, key, value)

    def _reply(self, app: str, user: str | None = None) -> ReplyTo | None:
        sessions = [s for s in self.sessions() if s.app == app and user in {None, s.user}]
        if sessions and self.rng.random() < 0.5:
            return self.rng.choice(sessions).reply
        return ToRequester(f"r{self.rng.randint(0, 3)}") if self.rng.random() < 0.8 else None

    def _by_group(self, topic: str, app: str, group: str, value: bytes, way: str = "") -> None:
        key = key_of(app, group)
        self._emit(way or self.rng.choice(["caller", "k0"]), topic, partition_of(key, self.partitions), key, value)

    def _id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}{self._ids}"


_LEVELS: Final[tuple[Level, ...]] = ("messages", "messages", "unread_count", "unread_status", "typing")
_Action = Callable[[World], None]
_REQUESTS: Final[tuple[list[_Action], list[int]]] = (
    [
        *(World.burst, World.say_again, World.signal, World.relate, World.rule, World.up, World.down),
        *(World.turn, World.ask),
    ],
    [24, 8, 5, 14, 22, 34, 11, 9, 14],
)
_FAULTS: Final[tuple[list[_Action], list[int]]] = (
    [
        *(World.crash, World.crash_in_commit, World.crash_in_opening, World.take_over, World.fail_commit),
        *(World.spoil_store, World.compact, World.gateway_fault, World.bad_record),
    ],
    [6, 14, 8, 22, 6, 12, 6, 14, 12],
)
