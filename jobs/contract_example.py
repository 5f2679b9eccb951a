"""The worked example of the contract: what a gateway writes and reads, byte for byte, as the pipeline itself decides.

Nothing of it is written by hand but what a gateway sends: the cores of all roles run in memory, under a clock that is
told the time, and each record is written down as it would stand on the broker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from streams.groups.core import INPUTS as GROUPS_INPUTS
from streams.groups.core import GroupsCore
from streams.links.core import INPUTS as LINKS_INPUTS
from streams.links.core import LinksCore
from streams.users.core import INPUTS as USERS_INPUTS
from streams.users.core import UsersCore
from tables.batch import Core, Outputs, Record
from tables.rows import Rows
from topics import catalog, limits
from topics.keys import key_of, partition_of

PARTITIONS: Final = 8
LINKS: Final = 32
APP: Final = "demo"
_START_MS: Final = 1_767_225_600_000
_STEP_MS: Final = 10
#: The first epoch: on a real broker other records stood before it.
_FIRST_OFFSET: Final = 41
#: What gateways and callers write or read; the rest is between roles.
_SHOWN: Final = frozenset(
    topic.name
    for topic in (
        *(catalog.LINKS, catalog.SESSIONS, catalog.RELATIONS, catalog.MESSAGES, catalog.RESYNC, catalog.LINK_ACKS),
        *(catalog.ANSWERS, catalog.DELIVERIES, catalog.HISTORY, catalog.RELATION_EVENTS),
    )
)


@dataclass(frozen=True, slots=True)
class Line:
    """One record of the example.

    Attributes:
        topic: where it stands.
        partition: where it stands.
        key: its key.
        value: its bytes.
        sent: whether the gateway wrote it; else the pipeline did.
    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    sent: bool


@dataclass(frozen=True, slots=True)
class Step:
    """What is done, and the records that follow from it."""

    title: str
    lines: tuple[Line, ...]


class _Store:
    """Committed rows, in a dict."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted((key, value) for key, value in self.rows.items() if key.startswith(prefix) and key >= start))


class _Lane:
    """One partition of one role: its core and its rows."""

    def __init__(self, make: type[GroupsCore | UsersCore | LinksCore], partition: int) -> None:
        self._store = _Store()
        self._rows = Rows(self._store)
        self.core: Core = make(self._rows, partition, PARTITIONS, LINKS)

    def apply(self, records: list[Record], now_ms: int) -> Outputs:
        out = self.core.apply(records, now_ms)
        for key, value in self._rows.take().items():
            if value is None:
                self._store.rows.pop(key, None)
            else:
                self._store.rows[key] = value
        self._rows.settled()
        return out


class _Cluster:
    """All cores, and the records between them."""

    def __init__(self) -> None:
        self.now_ms = _START_MS
        self.lines: list[Line] = []
        self._offsets: dict[tuple[str, int], int] = {}
        self._readers: dict[tuple[str, int], list[_Lane]] = {}
        self._lanes: list[_Lane] = []
        self._add(LinksCore, LINKS_INPUTS, 1)
        self._add(UsersCore, USERS_INPUTS, PARTITIONS)
        self._add(GroupsCore, GROUPS_INPUTS, PARTITIONS)

    def _add(
        self, make: type[GroupsCore | UsersCore | LinksCore], inputs: tuple[catalog.Topic, ...], partitions: int
    ) -> None:
        for partition in range(partitions):
            lane = _Lane(make, partition)
            self._lanes.append(lane)
            for topic in inputs:
                self._readers.setdefault((topic.name, partition), []).append(lane)

    def send(self, topic: str, partition: int, key: bytes | None, value: bytes) -> int:
        """The gateway writes a record; gives its offset."""
        return self._append(topic, partition, key, value, sent=True)

    def wait(self, ms: int) -> None:
        """Time passes; who asked to be woken is."""
        self.now_ms += ms
        for lane in self._lanes:
            if (due := lane.core.due_ms()) is not None and due <= self.now_ms:
                self._write(lane.apply([], self.now_ms))

    def _append(self, topic: str, partition: int, key: bytes | None, value: bytes, *, sent: bool) -> int:
        offset = self._offsets[topic, partition] = self._offsets.get((topic, partition), _FIRST_OFFSET - 1) + 1
        if topic in _SHOWN:
            self.lines.append(Line(topic, partition, key, value, sent))
        self.now_ms += _STEP_MS
        record = Record(topic, offset, self.now_ms, key, value)
        for lane in self._readers.get((topic, partition), ()):
            self._write(lane.apply([record], self.now_ms))
        return offset

    def _write(self, out: Outputs) -> None:
        for (topic, partition), records in out.records.items():
            if topic == catalog.LINKS.name:
                continue  # the owner's clock: of no interest to a gateway
            for key, value in records:
                self._append(topic, partition, key, value, sent=False)


class _Gateway:
    """What the gateway of the example writes."""

    def __init__(self, cluster: _Cluster) -> None:
        self._cluster = cluster
        self._epoch = 0
        self._slot = 0

    @property
    def _address(self) -> str:
        return f'"link":"L1","epoch":{self._epoch},"partition":0'

    @property
    def _reply(self) -> str:
        return f'"reply":{{"t":"session",{self._address},"slot":{self._slot}}}'

    def register(self) -> None:
        """Registers; its epoch is the record's offset."""
        requester = "6f1c2d0e8b7a4c53"
        self._epoch = self._links(f'{{"t":"register","link":"L1","requester":"{requester}"}}')

    def beat(self) -> None:
        """Says that it lives."""
        self._links(f'{{"t":"beat","link":"L1","epoch":{self._epoch},"sessions":0}}')

    def create(self) -> None:
        """A caller without a session makes a group."""
        reply = '"reply":{"t":"requester","requester":"shop-7"}'
        record = (
            f'{{"t":"create_group","app":"{APP}","group":"friends","members":["ann","bob"],"request":"r1",{reply}}}'
        )
        self._keyed(catalog.RELATIONS, "friends", record)

    def join(self) -> None:
        """Somebody with a session joins."""
        record = f'{{"t":"add_members","app":"{APP}","group":"friends","users":["cid"],"request":"r2",{self._reply}}}'
        self._keyed(catalog.RELATIONS, "friends", record)

    def up(self, user: str = "ann", slot: int = 0) -> None:
        """Somebody connects."""
        who = f'"app":"{APP}","user":"{user}","device":"phone"'
        self._keyed(catalog.SESSIONS, user, f'{{"t":"up",{who},{self._address},"slot":{slot}}}')

    def create_server(self) -> None:
        """A caller makes a server, whose owner is Ann, and in it a role and a private channel for those who have it."""
        for what in (
            '"t":"create_group","kind":"server","members":["ann","bob"],"owner":"ann"',
            '"t":"create_role","role":"crew","by":"ann"',
            '"t":"create_channel","channel":"ops","view_mode":"private","white_roles":["crew"],"by":"ann"',
        ):
            self._relate(what)

    def give(self, command: str) -> None:
        """Ann gives Bob a role, or takes it."""
        self._relate(f'"t":"{command}","role":"crew","users":["bob"],"by":"ann"')

    def _relate(self, what: str) -> None:
        tag, rest = what.split(",", 1)
        self._keyed(catalog.RELATIONS, "club", f'{{{tag},"app":"{APP}","group":"club",{rest}}}')

    def send_to_channel(self, sender: str, client_id: str) -> None:
        """Somebody sends into a channel of the server."""
        what = f'"app":"{APP}","group":"club","channel":"ops","sender":"{sender}","device":"phone"'
        body = f'"client_id":"{client_id}","tried_at":{_START_MS},"body":{{"text":"Crew only"}}'
        self._keyed(catalog.MESSAGES, "club", f'{{"t":"send",{what},{body},{self._reply}}}')

    def down(self) -> None:
        """Ann is gone."""
        user = f'"app":"{APP}","user":"ann","link":"L1","epoch":{self._epoch}'
        self._keyed(catalog.SESSIONS, "ann", f'{{"t":"down",{user},"slot":{self._slot}}}')

    def send(self, sender: str = "ann") -> None:
        """Ann sends, always the same message."""
        what = f'"app":"{APP}","group":"friends","sender":"{sender}","device":"phone","client_id":"c-1"'
        body = f'"tried_at":{_START_MS},"body":{{"text":"Grüße"}}'
        self._keyed(catalog.MESSAGES, "friends", f'{{"t":"send",{what},{body},{self._reply}}}')

    def resync(self) -> None:
        """It lost a lot."""
        source = partition_of(key_of(APP, "friends"), PARTITIONS)
        record = f'{{"t":"resync",{self._address},"source":{source},"have":3}}'
        self._cluster.send(catalog.RESYNC.name, source, None, record.encode())

    def acknowledge(self) -> None:
        """It handed on what the source wrote."""
        source = partition_of(key_of(APP, "friends"), PARTITIONS)
        record = f'{{"t":"ack","link":"L1","epoch":{self._epoch},"source":{source},"number":10}}'
        self._cluster.send(catalog.LINK_ACKS.name, source, None, record.encode())

    def ground(self) -> None:
        """Bob's phone is in his pocket."""
        bob = f'"app":"{APP}","user":"bob","link":"L1","epoch":{self._epoch},"slot":1'
        self._keyed(catalog.SESSIONS, "bob", f'{{"t":"ground",{bob},"background":true}}')

    def mention(self) -> None:
        """Ann mentions Bob."""
        what = f'"app":"{APP}","group":"friends","sender":"ann","device":"phone","client_id":"c-4"'
        body = f'"tried_at":{_START_MS},"body":{{"text":"Bob?"}},"mentions":["bob"]'
        self._keyed(catalog.MESSAGES, "friends", f'{{"t":"send",{what},{body}}}')

    def come_back(self) -> None:
        """Bob's line breaks, and he is back, looking at it."""
        bob = f'"app":"{APP}","user":"bob"'
        was = f'"link":"L1","epoch":{self._epoch},"slot":1'
        self._keyed(catalog.SESSIONS, "bob", f'{{"t":"lost",{bob},{was}}}')
        resume = f'"device":"phone",{self._address},"slot":1,"was":{{{was}}}'
        self._keyed(catalog.SESSIONS, "bob", f'{{"t":"resume",{bob},{resume}}}')

    def leave(self) -> None:
        """It shuts down."""
        self._links(f'{{"t":"leave","link":"L1","epoch":{self._epoch}}}')

    def _links(self, record: str) -> int:
        return self._cluster.send(catalog.LINKS.name, 0, b"L1", record.encode())

    def _keyed(self, topic: catalog.Topic, thing: str, record: str) -> None:
        key = key_of(APP, thing)
        self._cluster.send(topic.name, partition_of(key, PARTITIONS), key, record.encode())


def steps() -> list[Step]:
    """The example, from registration to leaving."""
    cluster = _Cluster()
    gateway = _Gateway(cluster)
    cluster.wait(0)
    cluster.lines.clear()
    script = (
        (
            "The link registers. Its epoch is the offset of this record; it may use one partition of `deliveries`.",
            gateway.register,
        ),
        ("It beats, from now on every second.", gateway.beat),
        (
            "A caller without a session makes a group. The answer goes to `answers`, the change to `relation-events`.",
            gateway.create,
        ),
        ("Ann connects. Her session is bound to each of her groups: she is live in `friends`.", gateway.up),
        (
            "Ann sends. An urgent lot brings her answer, the next one the message for all sessions of the link.",
            gateway.send,
        ),
        ("Her answer got lost on the way to her; she sends the same again, and nothing new happens.", gateway.send),
        ("Eve, who is no member, is refused.", lambda: gateway.send("eve")),
        ("Cid joins. He has no session here, so there is nothing but the answer to whoever asked.", gateway.join),
        (
            f"The channel is quiet for {limits.QUIET_MS} ms: its head is announced.",
            lambda: cluster.wait(limits.QUIET_MS),
        ),
        ("The gateway missed lot 4. It asks the source, which begins anew.", gateway.resync),
        ("Bob connects too, through the same gateway.", lambda: gateway.up("bob", 1)),
        (
            "A server with a role and a private channel: `ops` is for who has `crew`, and for the owner, Ann.",
            gateway.create_server,
        ),
        (
            "Ann sends into `ops`. The link is told first who of its listeners see the channel: ordinal 0, Ann.",
            lambda: gateway.send_to_channel("ann", "c-2"),
        ),
        (
            "Bob gets the role: ordinal 1 enters the audience, and Bob is told that he sees more than before.",
            lambda: gateway.give("add_role_members"),
        ),
        ("The next message is for both.", lambda: gateway.send_to_channel("ann", "c-3")),
        (
            "Bob loses the role: what is sent from here on is not for him. The hints of the last moments are merged.",
            lambda: gateway.give("remove_role_members"),
        ),
        ("The gateway acknowledges what it handed on of `friends`.", gateway.acknowledge),
        ("Bob's phone goes into his pocket: from here on he hears notices, in all groups.", gateway.ground),
        ("Ann mentions him: that he hears at once, and that there is something new.", gateway.mention),
        ("His line breaks, and he is back at the same slot, looking at it. He pulls.", gateway.come_back),
        ("Ann's connection is closed.", gateway.down),
        ("The gateway shuts down. Its void is the last thing that it would read.", gateway.leave),
    )
    found = []
    for title, act in script:
        act()
        found.append(Step(title, tuple(cluster.lines)))
        cluster.lines.clear()
    return found
