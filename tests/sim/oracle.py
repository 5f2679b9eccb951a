"""The judgement of a run at rest: the verifier's on the topics, and here what only the inside can tell.

That is: rows and memory, which must hold what lives and nothing else; local copies, which must be what the changelog
says; offsets, which must stand at the ends; and gateways, which must hold live sessions x memberships.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from jobs.verify.judge import judge as judge_topics
from jobs.verify.world import Row
from jobs.verify.world import World as Topics
from streams.groups.core import GroupsCore
from streams.users.core import UsersCore, index
from tables import keys
from tables.linkmap import binding_prefix, pairs
from tests.sim.gateway import require
from tests.sim.lane import POISON, USERS, SimLane
from tests.sim.store import SimStore
from topics import catalog, limits
from topics.codec import decode
from topics.keys import key_of, partition_of
from topics.messages import MAIN
from topics.notices import PersonLot
from topics.rejects import Reject

if TYPE_CHECKING:
    from tests.sim.world import World

Place = tuple[str, int, int]  # topic, partition, offset
Members = dict[tuple[str, str], dict[str, int]]  # (app, group) -> user -> ordinal


def judge(world: World) -> None:
    """All rules.

    Raises:
        BrokenRuleError: one does not hold.
    """
    poisoned = _judge_rejects(world)
    _judge_topics(world, poisoned)
    members = _members(world)
    _judge_gateways(world, members)
    for lane in world.owners.values():
        _judge_lane(world, lane)
        if isinstance(lane.core, GroupsCore):
            _judge_groups_rows(world, lane, members)
        elif isinstance(lane.core, UsersCore):
            _judge_users_rows(world, lane, members)
            _judge_inboxes(world, lane, poisoned)


def _judge_rejects(world: World) -> set[Place]:
    """Just the bad records were rejected, each once. Gives those that were well-formed: their handler raised."""
    rejected: Counter[tuple[str, int, bytes]] = Counter()
    poisoned: set[Place] = set()
    for partition in range(world.partitions):
        for entry in world.broker.log("rejects", partition).records():
            reject: Reject = decode("rejects", entry.value)
            rejected[reject.topic, reject.partition, reject.value] += 1
            if POISON in reject.value:
                poisoned.add((reject.topic, reject.partition, reject.offset))
    require(rejected == world.bad, f"rejected {rejected - world.bad}, not rejected {world.bad - rejected}")
    return poisoned


def _judge_topics(world: World, poisoned: set[Place]) -> None:
    """The verifier's word, which knows no handler that raises: such records, and their rejects, are not shown to it."""
    topics: dict[str, list[Row]] = {}
    for topic in catalog.CATALOG:
        rows = topics[topic.name] = []
        if topic.kept_ms is None and topic is not catalog.POLICIES:
            continue
        for partition in range(topic.partitions(world.partitions, world.links)):
            for entry in world.broker.log(topic.name, partition).records():
                hidden = (topic.name, partition, entry.offset) in poisoned
                if not hidden and not (topic is catalog.REJECTS and _names_poison(entry.value)):
                    rows.append(Row(partition, entry.offset, entry.timestamp, entry.key, entry.value))
    report = judge_topics(Topics(topics, world.partitions, world.links), settled=True, examples=4)
    require(report.good, f"the verifier: {report.rules} {report.examples}")


def _names_poison(value: bytes | None) -> bool:
    reject: Reject = decode("rejects", value)
    return POISON in reject.value


def _members(world: World) -> Members:
    """Who is a member at the end, by the relation events."""
    members: Members = {}
    for partition in range(world.partitions):
        for entry in world.broker.log("relation-events", partition).records():
            event = decode("relation-events", entry.value)
            group = members.setdefault((event.app, event.group), {})
            match type(event).__name__:
                case "GroupCreated" | "MembersAdded":
                    group.update(zip(event.users, event.ordinals, strict=True))
                case "MembersRemoved":
                    for user in event.users:
                        del group[user]
                case "GroupDeleted":
                    group.clear()
    return members


def _judge_gateways(world: World, members: Members) -> None:
    for gateway in world.gateways:
        due: dict[tuple[str, str], set[tuple[int, int]]] = {}
        for session in gateway.sessions.values():
            for (app, group), users in members.items():
                if app == session.app and session.user in users:
                    due.setdefault((app, group), set()).add((users[session.user], session.slot))
        held = {group: bound for source in gateway.sources.values() for group, bound in source.bindings.items()}
        require(held == due, f"{gateway.link} holds {held}, due {due}")
        for (app, group), bound in held.items():
            if (newest := _newest_seq(world, app, group)) is None:
                continue
            source = gateway.sources[partition_of(key_of(app, group), world.partitions)]
            if source.pushed.get((app, group, f"{MAIN} 0")) == newest and any(
                s not in source.background for _, s in bound
            ):
                told = source.announced.get((app, group, MAIN))
                require(told == newest, f"{gateway.link}: {app}:{group} is quiet at {newest}, announced {told}")
            for _, slot in bound:
                last = source.last[app, group, slot]
                noticed = source.behind.get((app, group, slot), 0)
                owed = source.owed.get((app, group, slot), 0)
                said = f"{gateway.link} slot {slot} holds {app}:{group} up to {last} of {newest}, noticed {noticed}"
                require(max(last, noticed) >= newest, said)
                require(noticed >= owed, f"{said}, owed {owed}")
        turned = gateway.background & gateway.sessions.keys()
        for source in gateway.sources.values():
            slots = {slot for bound in source.bindings.values() for _, slot in bound}
            here = source.background & slots
            require(here == turned & slots, f"{gateway.link}: in the background {here}, due {turned & slots}")


def _newest_seq(world: World, app: str, group: str) -> int | None:
    """Of the one channel of a group; None if it has others."""
    core = world.owners["groups", partition_of(key_of(app, group), world.partitions)].core
    assert isinstance(core, GroupsCore)
    found = core.desk.groups.touch(app, group)
    return found.numbers(MAIN).seq if found.has_channel(MAIN) else None


def _judge_lane(world: World, lane: SimLane) -> None:
    """The local copy is what the changelog says, and everything was read."""
    said = SimStore()
    for entry in world.broker.log(*lane.place).records():
        if entry.key is not None:
            old = said.get(entry.key)
            local = index(entry.key, old, entry.value, said.get) if lane.kind is USERS else {}
            said.write({**local, entry.key: entry.value}, entry.offset + 1)
    wrong = {key for key in said.rows.keys() | lane.store.rows.keys() if said.get(key) != lane.store.get(key)}
    require(not wrong, f"{lane!r}: rows other than in the changelog: {sorted(wrong)[:5]}")
    for topic in lane.kind.inputs:
        log = world.broker.log(topic.name, lane.partition)
        at = world.broker.committed.get((lane.kind.group, topic.name, lane.partition), 0)
        left = log.read(at)[0]
        require(not left or topic is catalog.LINKS, f"{lane!r}: {len(left)} of {topic.name} not read")


def _judge_groups_rows(world: World, lane: SimLane, members: Members) -> None:
    """No row of what is gone: clean-ups, quiet channels, hints told, dead bindings, ended lives."""
    rows = lane.store
    for prefix in (keys.CHORE, keys.QUIET, keys.CHANGED):
        require(not list(rows.scan(prefix)), f"{lane!r}: {prefix!r} rows left")
    bound: set[tuple[str, int, bytes, int, int]] = set()
    due: set[tuple[str, int, bytes, int, int]] = set()
    kept = set()
    for gateway in world.gateways:
        if gateway.address is None:
            continue
        prefix = binding_prefix(gateway.link, gateway.address.epoch)
        for key, value in rows.scan(prefix):
            kept.add(key)
            bound.update((gateway.link, gateway.address.epoch, key[len(prefix) : -5], *pair) for pair in pairs(value))
        source = gateway.sources.get(lane.partition)
        for (app, group), held in source.bindings.items() if source else ():
            due.update((gateway.link, gateway.address.epoch, key_of(app, group), *pair) for pair in held)
    require(bound == due, f"{lane!r}: binding rows {bound ^ due} differ from what gateways hold")
    dead = {key for key, _ in rows.scan(keys.BINDING)} - kept
    require(not dead, f"{lane!r}: binding rows of dead links: {sorted(dead)[:5]}")
    assert isinstance(lane.core, GroupsCore)
    for (app, name), users in members.items():
        if partition_of(key_of(app, name), world.partitions) == lane.partition:
            touched = lane.core.desk.groups.touch(app, name)
            told = {user: ordinal for ordinal, user in touched.members}
            found = {user: touched.members.ordinal_of(user) for user in users}
            require(told == users == found, f"{app}:{name}: {told} and {found}, told of {users}")
            for prefix in (keys.PAGE, keys.DELTA, keys.SENDS, *keys.PARTS):
                key = keys.name(prefix, key_of(app, name))
                require(touched.alive or not list(rows.scan(key)), f"{app}:{name} ended, {prefix!r} rows are left")


def _judge_users_rows(world: World, lane: SimLane, members: Members) -> None:
    """Rolls and their index hold the memberships; sessions' rows hold those that live."""
    rolls: set[tuple[str, str]] = set()
    due = {
        (f"{app}:{user}", f"{app}:{group}")
        for (app, group), users in members.items()
        for user in users
        if partition_of(key_of(app, user), world.partitions) == lane.partition
    }
    for key, _ in lane.store.scan(keys.GROUPS_OF):
        user, _, group = key[len(keys.GROUPS_OF) :].decode().partition("\0")
        rolls.add((user, group))
    require(rolls == due, f"{lane!r}: memberships {rolls ^ due} differ")
    assert isinstance(lane.core, UsersCore)
    for app in ("a", "b"):
        for user in world.users:
            if partition_of(key_of(app, user), world.partitions) == lane.partition:
                living = {(s.link, s.epoch, s.slot) for s in lane.core.desk.sessions.of(app, user) if not s.lost_until}
                theirs = [s for s in world.sessions() if (s.app, s.user) == (app, user)]
                up = {(s.address.link, s.address.epoch, s.slot) for s in theirs}
                require(living == up, f"{lane!r}: sessions of {app}:{user} {living ^ up} differ")


def _judge_inboxes(world: World, lane: SimLane, poisoned: set[Place]) -> None:
    """Each notice to a person stands in the person's inbox, once."""
    assert isinstance(lane.core, UsersCore)
    told: Counter[tuple[str, str, str, str]] = Counter()
    for entry in world.broker.log(catalog.NOTICES.name, lane.partition).records():
        if (catalog.NOTICES.name, lane.partition, entry.offset) not in poisoned:
            lot: PersonLot = decode(catalog.NOTICES.name, entry.value)
            told.update((one.app, user, one.group, one.kind) for one in lot.entries for user in one.users)
    found: Counter[tuple[str, str, str, str]] = Counter()
    for app, user in {(app, user) for app, user, _, _ in told}:
        page = lane.core.desk.inboxes.since(app, user, 0, limits.NOTICES_KEPT)
        numbers = [kept.number for kept in page.notices]
        require(numbers == sorted(set(numbers)) and page.newest == numbers[-1], f"{app}:{user}: numbers {numbers}")
        for kept in page.notices:
            found[app, user, kept.group, kept.kind] += kept.count
    require(found == told, f"{lane!r}: told {told - found} that no inbox holds, held {found - told} that nobody told")
