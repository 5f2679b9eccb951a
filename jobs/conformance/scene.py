"""What a case has at hand: one link, one run of the gateway's program, its clients, and the pipeline that it hears."""

from __future__ import annotations

import asyncio
import itertools
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw
from pyroaring import BitMap

from jobs.conformance import protocol
from jobs.conformance.driven import Driven, Ended
from jobs.conformance.played import Inbox, Played, Written
from jobs.conformance.protocol import OfClient
from jobs.conformance.view import History
from topics import limits
from topics.codec import Malformed, decode
from topics.keys import key_of, partition_of
from topics.messages import MAIN
from topics.subscriptions import Joined

Event = TypeVar("Event", bound=OfClient)
Found = TypeVar("Found")

#: How long a program may take to register: it has to be started first.
START_S: Final = 30.0
#: The seq of messages that nobody may show.
BAIT: Final = 99
_SHOWN: Final = 6
_APART: Final = 70_001


_NEWS: Final = (
    protocol.Message,
    protocol.Signal,
    protocol.Changed,
    protocol.Noticed,
    protocol.Unread,
    protocol.Mentioned,
    protocol.Present,
)


class Wrong(Exception):  # noqa: N818 - it is the gateway that is wrong
    """The gateway did not keep the contract.

    Attributes:
        expected: what it should have done.
        seen: what it did.
    """

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}; seen: {seen}")
        self.expected = expected
        self.seen = seen


@dataclass(frozen=True, slots=True)
class Client:
    """One client's connection, announced as a session."""

    number: int
    user: str
    device: str
    slot: int


@dataclass
class Scene:
    """One link and its gateway, as a case drives them.

    Attributes:
        link: the link's id.
        app: the app of its clients.
        gateway: the program.
        played: the pipeline.
        inbox: what the link writes.
        history: what its views show.
        patience_s: how long the gateway may take for anything.
        restart: stops the broker, and starts it again after a while; None where it is not ours.
        epoch: of the registration.
        partition: of `deliveries`, for the registration.
    """

    link: str
    app: str
    gateway: Driven
    played: Played
    inbox: Inbox
    history: History
    patience_s: float
    restart: Callable[[], Any] | None = None
    epoch: int = -1
    partition: int = -1
    _numbers: dict[int, int] = field(default_factory=dict)
    _clients: Any = field(default_factory=lambda: itertools.count(1))
    _members: dict[str, dict[str, int]] = field(default_factory=dict)

    # What the pipeline does.

    async def registers(self, *others: dict[str, Any], within_s: float | None = None) -> Written:
        """Wait for the link to register, and answer; among `others`, that stand in the same record.

        The link lives when it beats. If it registers once more instead, the answer came too late for it.
        """
        record = await self.writes("links", "register", "a registration of the link", within_s=within_s or START_S)
        while True:
            self.accept(record)
            await self.confirm(record, *others)
            found = await self._next(lambda one: one.kind in {"beat", "register"}, START_S)
            if found is None:
                raise Wrong(f"`beat` of epoch {self.epoch} after the registration", self._written("links"))
            if found.kind == "beat":
                return record
            record = found

    def accept(self, register: Written) -> None:
        """The link has this registration from here on."""
        self.epoch, self.partition = register.offset, self.played.next_partition()
        self._numbers = {}

    async def confirm(self, register: Written, *others: dict[str, Any], **more: Any) -> None:
        """Answer a registration that was accepted."""
        registered = {"link": self.link, "epoch": self.epoch, "partition": self.partition}
        answer = {"t": "registered", **registered, "partitions": self.played.partitions, **more}
        await self.answers(register, *others, self.to(register, answer))

    def to(self, register: Written, answer: dict[str, Any]) -> dict[str, Any]:
        """An answer for who registered."""
        return {"requester": (register.value or {}).get("requester"), "answer": answer}

    async def answers(self, register: Written, *entries: dict[str, Any]) -> None:
        """Write a record of answers where who registered looks for its own."""
        requester = str((register.value or {}).get("requester"))
        partition = partition_of(requester.encode(), self.played.partitions)
        await self.played.write("answers", partition, {"t": "answers", "entries": [*entries]})

    async def lot(self, source: int, *entries: dict[str, Any], commit: bool = True, **given: Any) -> int:
        """Write the next lot of a source, or one that is different in what is `given`. Tells when it was appended."""
        number = given.pop("number", self._numbers.get(source, 0) + 1)
        if commit:
            self._numbers[source] = max(number, self._numbers.get(source, 0))
        head = {"t": "lot", "link": self.link, "epoch": self.epoch, "source": source, "number": number}
        return await self.deliver({**head, "entries": [*entries], **given}, commit=commit)

    def lose(self, source: int) -> None:
        """The next lot of a source is lost on its way."""
        self._numbers[source] = self._numbers.get(source, 0) + 1

    def number(self, source: int) -> int:
        """The number of the last lot of a source."""
        return self._numbers.get(source, 0)

    async def deliver(self, *records: dict[str, Any], commit: bool = True) -> int:
        """Write to the link's partition; tells when it was appended."""
        return await self.played.write("deliveries", self.partition, *records, commit=commit)

    async def void(self, epoch: int, link: str | None = None) -> None:
        """Say that registrations are dead."""
        await self.deliver({"t": "void", "link": link or self.link, "epoch": epoch})

    def group(self, source: int, name: str = "g") -> str:
        """The id of a group that belongs to a source."""
        ids = (f"{name}{number}" for number in itertools.count())
        return next(found for found in ids if partition_of(key_of(self.app, found), self.played.partitions) == source)

    def ordinal(self, group: str, client: Client) -> int:
        """The number that a user has in a group: far apart, so that bitmaps of them have several containers."""
        known = self._members.setdefault(group, {})
        return known.setdefault(client.user, len(known) * _APART)

    def bound(
        self,
        group: str,
        *clients: Client,
        head: int = 0,
        audiences: Sequence[Sequence[int]] = (),
        joined: Joined = "messages",
    ) -> dict[str, Any]:
        """These clients listen to a group, and are in these audiences, a list for each."""
        told = {"t": "bound", "app": self.app, "group": group, "map": 1, **self._pairs(group, clients)}
        told |= {"heads": [[MAIN, head]], "joined": joined}
        return {**told, "audiences": [*audiences]} if audiences else told

    def unbound(self, group: str, *clients: Client) -> dict[str, Any]:
        """These clients listen no more."""
        return {"t": "unbound", "app": self.app, "group": group, "map": 2, **self._pairs(group, clients)}

    def _pairs(self, group: str, clients: Sequence[Client]) -> dict[str, Any]:
        ordinals = [self.ordinal(group, client) for client in clients]
        return {"ordinals": ordinals, "slots": [client.slot for client in clients]}

    def audience(self, group: str, audience: int, *clients: Client, version: int = 1) -> dict[str, Any]:
        """These clients are an audience."""
        named = {"audience": audience, "version": version, "members": self.bitmap(group, *clients)}
        return {"t": "audience", "app": self.app, "group": group, **named}

    def delta(
        self,
        group: str,
        audience: int,
        entered: Sequence[Client] = (),
        left: Sequence[Client] = (),
        *,
        version: int = 2,
        **more: Any,
    ) -> dict[str, Any]:
        """Clients entered and left an audience."""
        named = {"audience": audience, "version": version, **more}
        flips = {"entered": self.bitmap(group, *entered), "left": self.bitmap(group, *left)}
        return {"t": "audience_delta", "app": self.app, "group": group, **named, **flips}

    def changed(self, group: str, *what: str, version: int = 3, **more: Any) -> dict[str, Any]:
        """Something about a group changed."""
        told = {"t": "changed", "app": self.app, "group": group, "version": version, "since": version - 1}
        return {**told, "what": [*what], **more}

    def bitmap(self, group: str, *clients: Client) -> str:
        """The ordinals of clients as records hold them; of nobody the empty string."""
        if not clients:
            return ""
        return b64encode(BitMap([self.ordinal(group, client) for client in clients]).serialize()).decode()

    def notice(self, group: str, number: int, kind: str, *clients: Client) -> dict[str, Any]:
        """A notice to the user of these clients."""
        notice = {"number": number, "group": group, "version": 3, "at": 1, "kind": kind}
        named = {"app": self.app, "user": clients[0].user, "slots": [client.slot for client in clients]}
        return {**named, "notice": notice}

    def sessions(self, group: str, audience: int, *clients: Client) -> dict[str, Any]:
        """These clients' sessions are an audience, as they asked for something."""
        named = {"audience": audience, "version": 1, "members": self.slots(*clients), "by": "session"}
        return {"t": "audience", "app": self.app, "group": group, **named}

    def sessions_delta(
        self, group: str, audience: int, entered: Sequence[Client] = (), left: Sequence[Client] = ()
    ) -> dict[str, Any]:
        """Sessions entered and left an audience of sessions."""
        flips = {"entered": self.slots(*entered), "left": self.slots(*left)}
        return {"t": "audience_delta", "app": self.app, "group": group, "audience": audience, "version": 2, **flips}

    def slots(self, *clients: Client) -> str:
        """The slots of clients as records hold them; of nobody the empty string."""
        return b64encode(BitMap([client.slot for client in clients]).serialize()).decode() if clients else ""

    def subscribed(self, group: str, client: Client, *levels: str, head: int = 0, **more: Any) -> dict[str, Any]:
        """What a session hears of a group because it asked for it."""
        wanted = [{"level": level, **({} if level == "server" else {"channel": MAIN})} for level in levels]
        heads = [[MAIN, head]] if "messages" in levels else []
        named = {"app": self.app, "group": group, "slot": client.slot, "wanted": wanted, "heads": heads}
        return {"t": "subscribed", **named, **more}

    def unread(self, group: str, seq: int, count: int, **more: Any) -> dict[str, Any]:
        """There are new messages, in place of them."""
        named = {"app": self.app, "group": group, "channel": MAIN, "seq": seq, "count": count}
        return {"t": "unread", **named, "version": 1, "map": 1, **more}

    def background(self, *clients: Client, on: bool = True) -> dict[str, Any]:
        """These clients are in the background, or come from there."""
        return {"t": "background", "slots": [client.slot for client in clients], **({} if on else {"on": False})}

    def mention(self, message: dict[str, Any], *clients: Client) -> dict[str, Any]:
        """A message mentions the user of these clients."""
        return {"t": "mention", "slots": [client.slot for client in clients], "m": message}

    async def tells(self, *entries: dict[str, Any], **given: Any) -> None:
        """Write a record of what single sessions are told, for this registration or the one that is `given`."""
        head = {"t": "sessions", "link": self.link, "epoch": self.epoch}
        await self.deliver({**head, "entries": [*entries], **given})

    async def notices(self, *entries: dict[str, Any], **given: Any) -> None:
        """Write a record of notices, for this registration or the one that is `given`."""
        head = {"t": "notices", "link": self.link, "epoch": self.epoch}
        await self.deliver({**head, "entries": [*entries], **given})

    def message(
        self, group: str, seq: int, *, prev: int | None = None, stored: bool = True, **more: Any
    ) -> dict[str, Any]:
        """A message. What is not `stored` is not shown by the view."""
        numbers = {"s": seq, "p": seq - 1 if prev is None else prev, "n": seq, "gv": 1, "lm": 1, "at": 1}
        said = {"f": "eve", "d": "desk", "i": f"i{seq}", "b": {"text": f"message {seq}"}}
        entry = {"t": "m", "a": self.app, "g": group, "c": MAIN, **numbers, **said, **more}
        if stored:
            self.history.messages.setdefault(group, []).append(entry)
        return entry

    def bait(self, group: str, prev: int = 0) -> dict[str, Any]:
        """A message that nobody may ever show, and that no pull brings."""
        return self.message(group, BAIT, prev=prev, stored=False, b={"text": "nobody may show this"})

    def head(self, group: str, seq: int) -> dict[str, Any]:
        """A quiet channel's head."""
        told = {"t": "head", "app": self.app, "group": group, "channel": MAIN}
        return {**told, "seq": seq, "version": 1, "map": 1}

    # What clients do.

    async def begins(self, *users: str) -> list[Client]:
        """The link registers, and these users connect."""
        await self.registers()
        return [await self.connects(user) for user in users]

    async def connects(self, user: str, device: str = "phone") -> Client:
        """A client connects, and its gateway says so."""
        number = await self.asks_in(user, device)
        return self.client(number, await self.comes_up(user, device))

    def client(self, number: int, up: Written) -> Client:
        """Who was announced."""
        value = up.value or {}
        return Client(number, value["user"], value["device"], value["slot"])

    async def asks_in(self, user: str, device: str = "phone") -> int:
        """A client begins to connect."""
        number: int = next(self._clients)
        await self.tell(protocol.Connect(number, user, device))
        return number

    async def resumes(self, client: Client) -> tuple[int, Written]:
        """A client that was lost comes again, and its gateway says so: by which number, with which record."""
        number: int = next(self._clients)
        await self.tell(protocol.Connect(number, client.user, client.device, resumes=client.number))
        expected = f"`resume` on `sessions` for {client.user}, that was slot {client.slot}"
        return number, await self.writes("sessions", "resume", expected, user=client.user)

    async def loses(self, client: Client) -> None:
        """A client's connection breaks, and its gateway says so."""
        await self.tell(protocol.Lose(client.number))
        await self.writes("sessions", "lost", f"`lost` of slot {client.slot}", slot=client.slot)

    async def comes_up(self, user: str, device: str = "phone") -> Written:
        """The `up` of a client."""
        named: dict[str, Any] = {"user": user, "device": device, "epoch": self.epoch}
        expected = f"`up` on `sessions` for user {user!r}, device {device!r}, epoch {self.epoch}"
        return await self.writes("sessions", "up", expected, **named)

    async def disconnects(self, client: Client) -> None:
        """A client goes."""
        await self.tell(protocol.Disconnect(client.number))

    async def sends(self, client: Client, group: str, client_id: str, body: Any, mentions: Sequence[str] = ()) -> None:
        """A client sends."""
        data = Raw(msgspec.json.encode(body))
        await self.tell(protocol.Send(client.number, group, client_id, data, [*mentions]))

    async def stops(self) -> None:
        """The gateway is told to shut down."""
        await self.tell(protocol.Stop())

    # What is expected.

    async def writes(
        self, topic: str, kind: str, expected: str, within_s: float | None = None, **named: Any
    ) -> Written:
        """The next record of this kind whose fields are `named`. Others are passed over, but not forgotten."""
        found = await self._next(lambda record: _is(record, topic, kind, named), within_s or self.patience_s)
        if found is None:
            raise Wrong(expected, self._written(topic))
        self._check(found)
        return found

    def written(self, topic: str, kind: str, **named: Any) -> list[Written]:
        """Records of this kind that were read until now and that no case waited for."""
        return [record for record in self.inbox.records if _is(record, topic, kind, named)]

    async def live(self, group: str, *clients: Client) -> None:
        """These clients hear that they listen to the group now."""
        for client in clients:
            event = await self._heard(protocol.Live, client, lambda event: event.group == group)
            if event is None:
                raise Wrong(f"`live` of {group!r} for {client.user}", self._told(client))

    async def shows(self, group: str, client: Client, *seqs: int) -> None:
        """What a client shows next of a group: these messages, in this order, and no other before or between them."""
        for seq in seqs:
            event = await self._heard(protocol.Message, client, lambda event: event.group == group)
            if event is None:
                raise Wrong(f"{client.user} shows message {seq} of {group!r}", self._told(client))
            if event.seq != seq:
                raise Wrong(
                    f"{client.user} shows message {seq} of {group!r} next", f"message {event.seq}: {event.body}"
                )

    async def hears(self, kind: type[Event], client: Client, expected: str) -> Event:
        """The next event of this kind."""
        event = await self._heard(kind, client, lambda _: True)
        if event is None:
            raise Wrong(expected, self._told(client))
        return event

    def shows_no_more(self, *clients: Client) -> None:
        """By now these clients have shown, and were told, nothing but what was waited for."""
        for client in clients:
            for event in self.gateway.seen_of(client.number):
                if isinstance(event, _NEWS):
                    raise Wrong(f"nothing more for {client.user}", f"{msgspec.json.encode(event).decode()}")

    async def told(self, group: str, client: Client, *what: str) -> None:
        """A client hears next that these things of a group changed."""
        expected = f"`changed` of {group!r} with {[*what]} for {client.user}"
        event = await self._heard(protocol.Changed, client, lambda event: event.group == group)
        if event is None:
            raise Wrong(expected, self._told(client))
        if not {*what} <= {*event.what}:
            raise Wrong(expected, f"{event.what}")

    async def has_failed(self) -> str:
        """The gateway says that it has given up; with which code."""
        event: protocol.Failed | None = await self._event(
            self.gateway.heard(protocol.Failed, lambda _: True, self.patience_s)
        )
        if event is None:
            raise Wrong("the event `failed` with a code", "nothing of the kind")
        return event.code

    async def ends(self) -> int:
        """The program ends by itself; with which status."""
        if (status := await self.gateway.ends(limits.LINK_TIMEOUT_MS / 1000 + self.patience_s)) is None:
            raise Wrong("the program ends after `stop`", "it still runs")
        return status

    async def until(self, holds: Callable[[], bool], expected: str, seen: Callable[[], str]) -> None:
        """Something holds before long."""
        try:
            async with asyncio.timeout(self.patience_s):
                while not holds():  # noqa: ASYNC110 - views and events are looked at together
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise Wrong(expected, seen()) from None

    def refuse_strange(self) -> None:
        """Whatever the gateway wrote, the pipeline must be able to read."""
        for record in self.inbox.records:
            self._check(record)
        if self.history.wrong:
            raise Wrong("pulls as the contract has them", self.history.wrong[0])

    def _check(self, record: Written) -> None:
        try:
            decode(record.topic, record.raw)
        except Malformed as error:
            raise Wrong(
                f"a record of `{record.topic}` as its schema has it", f"{error.detail}: {_short(record.raw)}"
            ) from None
        value = record.value or {}
        if record.topic == "links":
            key, partition = str(value["link"]).encode(), 0
        elif record.topic in {"resync", "link-acks"}:
            key, partition = b"", value["source"]
        else:
            thing = value["user"] if record.topic == "sessions" else value["group"]
            key = key_of(value["app"], thing)
            partition = partition_of(key, self.played.partitions)
        if key and record.key != key:
            raise Wrong(f"the key {key!r} on `{record.topic}`", f"{record.key!r}")
        if record.partition != partition:
            raise Wrong(
                f"partition {partition} of `{record.topic}` for {key or value!r}", f"partition {record.partition}"
            )

    async def _next(self, matches: Callable[[Written], bool], within_s: float) -> Written | None:
        try:
            async with asyncio.timeout(within_s):
                while True:
                    for record in self.inbox.records:
                        if matches(record):
                            self.inbox.records.remove(record)
                            return record
                    self.inbox.changed.clear()
                    await self.inbox.changed.wait()
        except TimeoutError:
            return None

    async def _heard(self, kind: type[Event], client: Client, matches: Callable[[Event], bool]) -> Event | None:
        return await self._event(
            self.gateway.heard(kind, lambda event: event.client == client.number and matches(event), self.patience_s)
        )

    async def _event(self, hearing: Awaitable[Found]) -> Found:
        try:
            return await hearing
        except Ended as ended:
            raise Wrong("the gateway's program goes on", str(ended)) from None

    async def tell(self, what: protocol.Tell) -> None:
        """Tell the program what happens."""
        try:
            await self.gateway.tell(what)
        except Ended as ended:
            raise Wrong("the gateway's program goes on", str(ended)) from None

    def _written(self, topic: str) -> str:
        found = [_short(record.raw) for record in self.inbox.records if record.topic == topic]
        return f"on `{topic}`: " + (", ".join(found[-_SHOWN:]) or "nothing") + " (beside what was expected before)"

    def _told(self, client: Client) -> str:
        found = [_short(msgspec.json.encode(event)) for event in self.gateway.seen_of(client.number)]
        return f"of {client.user}: " + (", ".join(found[-_SHOWN:]) or "nothing")


def _is(record: Written, topic: str, kind: str, named: dict[str, Any]) -> bool:
    value = record.value or {}
    return (record.topic, record.kind) == (topic, kind) and all(value.get(name) == it for name, it in named.items())


def _short(data: bytes) -> str:
    return data[:300].decode(errors="replace")
