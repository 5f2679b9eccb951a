"""The example gateway's driver with one rule of the contract broken: `python -m tests.conformance.broken <variant>`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from pyroaring import BitMap

import linkcast_gateway.listeners as listeners_module
import linkcast_gateway.state as state_module
from examples.gateway import driver
from linkcast_gateway import Answer, Group, Link, Message, Session, Signal, Timeline, kafka, life, wire
from linkcast_gateway.listeners import Listeners
from linkcast_gateway.state import Deliver, Event, LinkState, Resync
from linkcast_gateway.wire import AudienceDelta, Bound, Changed, Entry, Lot, NoticeLot, Unbound, Void

# What is patched, without its types.
gateway: Any = driver._Gateway
of_client: Any = driver.Client
of_driver: Any = driver
of_life: Any = life
of_link: Any = Link
of_state: Any = LinkState
of_states: Any = state_module
of_listeners: Any = Listeners
listeners_any: Any = listeners_module
of_timeline: Any = Timeline
of_wire: Any = wire

_feed, _lot, _apply = LinkState.feed, LinkState._lot, state_module._apply
_slots_of = Listeners.slots_of
_on_live = gateway.on_live


def takes_any_answer() -> None:
    async def answer_to(consumer: AIOKafkaConsumer, _: str) -> Any:
        while True:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    return wire.answers(record.value)[0].answer

    of_life.answer_to = answer_to


def registers_under_one_requester() -> None:
    of_life.uuid = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex="always-the-same"))


def waits_for_an_answer_without_end() -> None:
    of_life.TIMEOUT_MS = 1_000_000


def gives_up_when_it_is_refused() -> None:
    of_life._RETRY_S = 1_000.0


def reads_from_the_beginning() -> None:
    listen = kafka.listen

    async def from_beginning(consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        await listen(consumer, partition)
        await consumer.seek_to_beginning(partition)

    of_life.listen = from_beginning


def announces_before_it_listens() -> None:
    later: set[asyncio.Task[None]] = set()
    listen = kafka.listen

    async def in_a_while(consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        consumer.assign([TopicPartition("links", 0)])
        await consumer.seek_to_end()

        async def listens() -> None:
            await asyncio.sleep(2)
            await listen(consumer, partition)

        later.add(asyncio.create_task(listens()))

    of_life.listen = in_a_while


def beats_seldom() -> None:
    of_life.BEAT_MS = 6_000


def beats_without_its_sessions() -> None:
    json_of = kafka.json_of
    of_life.json_of = lambda record: json_of({**record, "sessions": 0} if record["t"] == "beat" else record)


def keeps_connections_after_a_void() -> None:
    gateway.on_void = lambda _: None


def fed(feed: Callable[[LinkState, Any], Any]) -> None:
    """What a state is given is another record, or none."""

    def changed(self: LinkState, record: Lot | NoticeLot | Void, now_ms: int) -> list[Event]:
        found = feed(self, record)
        return [] if found is None else _feed(self, found, now_ms)

    of_state.feed = changed


def knows_voids_of_its_epoch_only() -> None:
    fed(lambda self, record: None if isinstance(record, Void) and record.epoch != self.epoch else record)


def takes_any_void_for_its_own() -> None:
    fed(lambda self, record: Void(self.link, self.epoch) if isinstance(record, Void) else record)


def goes_without_leaving() -> None:
    async def leave(*_: Any) -> None:
        return

    of_link._leave = leave


def keys_sessions_by_user_alone() -> None:
    send = Link._send

    async def other_key(self: Link, topic: str, key: str, record: dict[str, Any]) -> None:
        await send(self, topic, key.split(":")[1] if topic == "sessions" else key, record)

    of_link._send = other_key


def tells_nobody_that_a_session_ended() -> None:
    async def down(self: Link, session: Session) -> None:
        self.sessions.pop(session.slot, None)

    of_link.down = down


def uses_slots_again() -> None:
    new_session = Link.new_session

    def lowest(self: Link, app: str, user: str, device: str) -> Session:
        self._next_slot = next(slot for slot in range(1_000) if slot not in self.sessions)
        return new_session(self, app, user, device)

    of_link.new_session = lowest


def entered(change: Callable[[Entry], Entry | None]) -> None:
    """What a state applies is another entry, or none."""

    def changed(source: Any, entry: Entry, events: list[Event], flips: Any) -> bool:
        found = change(entry)
        return True if found is None else _apply(source, found, events, flips)

    of_states._apply = changed


def binds_the_first_slot_only() -> None:
    def first(entry: Entry) -> Entry:
        if isinstance(entry, Bound):
            entry.ordinals, entry.slots = entry.ordinals[:1], entry.slots[:1]
        return entry

    entered(first)


def expanded(slots_of: Callable[[LinkState, Deliver], Sequence[int]]) -> None:
    """A delivery goes to other slots."""

    def changed(self: LinkState, record: Lot | Void, now_ms: int) -> list[Event]:
        return [
            replace(event, slots=tuple(slots_of(self, event))) if isinstance(event, Deliver) else event
            for event in _feed(self, record, now_ms)
        ]

    of_state.feed = changed


def delivers_to_every_session() -> None:
    expanded(lambda self, _: sorted({slot for slots in self.bindings().values() for slot in slots}))


def delivers_to_one_session_a_group() -> None:
    expanded(lambda _, event: event.slots[:1])


def applies_bindings_first() -> None:
    def bindings_first(_: LinkState, record: Lot | Void) -> Lot | Void:
        if isinstance(record, Lot):
            record.entries.sort(key=lambda entry: not isinstance(entry, Bound | Unbound))
        return record

    fed(bindings_first)


def ignores_unbound() -> None:
    entered(lambda entry: None if isinstance(entry, Unbound) else entry)


def fails_at_a_slot_without_connection() -> None:
    gateway._of = lambda self, slots: [self._connections[slot] for slot in slots]


def takes_lots_of_other_epochs() -> None:
    def own(self: LinkState, record: Lot | Void) -> Lot | Void:
        if isinstance(record, Lot):
            record.epoch = self.epoch
        return record

    fed(own)


def takes_lots_of_other_links() -> None:
    def own(self: LinkState, record: Lot | Void) -> Lot | Void:
        if isinstance(record, Lot):
            record.link = self.link
        return record

    fed(own)


def numbered(have: Callable[[int, Lot], int]) -> None:
    """A source's `have` is another one before a lot is applied."""

    def changed(self: LinkState, lot: Lot, now_ms: int) -> list[Event]:
        source = self._sources.setdefault(lot.source, state_module._Source())
        source.have = have(source.have, lot)
        return _lot(self, lot, now_ms)

    of_state._lot = changed


def applies_old_lots() -> None:
    numbered(lambda have, lot: min(have, lot.number - 1))


def overlooks_holes() -> None:
    numbered(lambda have, lot: lot.number - 1 if have and lot.number > have else have)


def begins_with_whatever_lot_comes_first() -> None:
    numbered(lambda have, lot: have or lot.number - 1)


def drops_holes_without_asking() -> None:
    of_state.resync = lambda *_: []
    of_state.tick = lambda *_: []


def goes_on_after_a_hole() -> None:
    def changed(self: LinkState, lot: Lot, now_ms: int) -> list[Event]:
        events = _lot(self, lot, now_ms)
        self._sources[lot.source].trusted = True
        self._sources[lot.source].have = lot.number
        return events

    of_state._lot = changed


def distrusts_every_source_at_once() -> None:
    resync = LinkState.resync

    def all_of_them(self: LinkState, number: int, now_ms: int) -> list[Resync]:
        return [asked for each in [number, *self._sources] for asked in resync(self, each, now_ms)]

    of_state.resync = all_of_them


def keeps_bindings_at_a_reset() -> None:
    def changed(self: LinkState, lot: Lot, now_ms: int) -> list[Event]:
        groups = dict(self._sources.setdefault(lot.source, state_module._Source()).groups)
        events = _lot(self, lot, now_ms)
        self._sources[lot.source].groups = groups | self._sources[lot.source].groups
        return events

    of_state._lot = changed


def forgets_every_source_at_a_reset() -> None:
    def changed(self: LinkState, lot: Lot, now_ms: int) -> list[Event]:
        if lot.reset:
            for source in self._sources.values():
                source.groups = {}
        return _lot(self, lot, now_ms)

    of_state._lot = changed


def delivered(judge: Callable[[Any, Any], bool]) -> None:
    """Another verdict on an entry whose group or audience is not known."""
    deliver = state_module._deliver

    def changed(source: Any, entry: Any, events: list[Event]) -> bool:
        return deliver(source, entry, events) or judge(source, entry)

    of_states._deliver = changed


def drops_what_is_for_unknown_groups() -> None:
    delivered(lambda source, entry: Group(entry.app, entry.group) not in source.groups)


def drops_what_is_for_unknown_audiences() -> None:
    delivered(lambda source, entry: Group(entry.app, entry.group) in source.groups)


def delivers_unknown_audiences_to_everyone() -> None:
    def everyone(entry: Entry) -> Entry:
        if isinstance(entry, Message):
            entry.audience = 0
        return entry

    entered(everyone)


def delivers_audiences_to_everyone() -> None:
    def everyone(self: Listeners, audience: int) -> tuple[int, ...] | None:
        return None if _slots_of(self, audience) is None else self.slots

    of_listeners.slots_of = everyone


def delivers_signals_to_everyone() -> None:
    def everyone(entry: Entry) -> Entry:
        if isinstance(entry, Signal | wire.Head):
            entry.audience = 0
        return entry

    entered(everyone)


def changed_audiences(change: Callable[[AudienceDelta], None]) -> None:
    """A delta says something else."""

    def other(entry: Entry) -> Entry:
        if isinstance(entry, AudienceDelta):
            change(entry)
        return entry

    entered(other)


def overlooks_who_entered() -> None:
    changed_audiences(lambda delta: setattr(delta, "entered", ""))


def overlooks_who_left() -> None:
    changed_audiences(lambda delta: setattr(delta, "left", ""))


def keeps_what_it_knew_of_an_audience() -> None:
    tell = Listeners.tell

    def merged(self: Listeners, audience: int, version: int, bits: BitMap) -> None:
        known = self._audiences.get(audience)
        tell(self, audience, version, bits | known.bits if known else bits)

    of_listeners.tell = merged


def keeps_ended_audiences() -> None:
    changed_audiences(lambda delta: setattr(delta, "ended", False))


def overlooks_audiences_of_bindings() -> None:
    def without(entry: Entry) -> Entry:
        if isinstance(entry, Bound):
            entry.audiences = []
        return entry

    entered(without)


def keeps_audiences_of_who_left() -> None:
    unbind = Listeners.unbind

    def kept(self: Listeners, slots: Sequence[int]) -> None:
        before = {audience: known.bits.copy() for audience, known in self._audiences.items()}
        unbind(self, slots)
        for audience, bits in before.items():
            self._audiences[audience] = listeners_module._Audience(0, bits)

    of_listeners.unbind = kept


def takes_a_member_out_with_its_first_slot() -> None:
    unbind = Listeners.unbind

    def first(self: Listeners, slots: Sequence[int]) -> None:
        gone = BitMap([self.ordinals[slot] for slot in slots if slot in self.ordinals])
        unbind(self, slots)
        for audience, known in self._audiences.items():
            self._audiences[audience] = listeners_module._Audience(0, known.bits - gone)

    of_listeners.unbind = first


def keeps_audiences_by_slot() -> None:
    put, slots_with = Listeners._put, Listeners.slots_with

    def first_only(self: Listeners, bits: BitMap) -> tuple[int, ...]:
        return tuple({self.ordinals[slot]: slot for slot in reversed(slots_with(self, bits))}.values())

    def unless_known(self: Listeners, audience: int, ordinal: int) -> bool:
        known = self._audiences.get(audience)
        return True if known is not None and ordinal in known.bits else put(self, audience, ordinal)

    of_listeners.slots_with, of_listeners._put = first_only, unless_known
    listeners_any._Audience.enter = lambda *_: None


def asks_when_nobody_is_in_an_audience() -> None:
    of_listeners.slots_of = lambda self, audience: _slots_of(self, audience) or None


def makes_audiences_that_it_was_not_told_of() -> None:
    change = Listeners.change
    of_listeners.change = lambda self, *rest: change(self, *rest) or (0, BitMap())


def overlooks_unknown_audiences_of_bindings() -> None:
    bind = Listeners.bind
    of_listeners.bind = lambda self, *rest: bind(self, *rest) or True


def asks_when_an_unknown_audience_ends() -> None:
    audience = state_module._audience

    def changed(source: Any, entry: Any, flips: Any) -> bool:
        listeners = source.groups.get(Group(entry.app, entry.group))
        if isinstance(entry, AudienceDelta) and listeners is not None and listeners.slots_of(entry.audience) is None:
            return False
        return audience(source, entry, flips)

    of_states._audience = changed


def keeps_audiences_at_a_reset() -> None:
    def changed(self: LinkState, lot: Lot, now_ms: int) -> list[Event]:
        groups = dict(self._sources.setdefault(lot.source, state_module._Source()).groups)
        events = _lot(self, lot, now_ms)
        if lot.reset:
            for group, listeners in self._sources[lot.source].groups.items():
                if group in groups:
                    listeners._audiences |= groups[group]._audiences
        return events

    of_state._lot = changed


def tells_everybody_of_changes() -> None:
    def everybody(entry: Entry) -> Entry:
        if isinstance(entry, Changed):
            entry.members, entry.audience = "", 0
        return entry

    entered(everybody)


def tells_of_changes_by_audience_alone() -> None:
    def everybody(entry: Entry) -> Entry:
        if isinstance(entry, Changed):
            entry.members = ""
        return entry

    entered(everybody)


def tells_nobody_of_deltas() -> None:
    def quiet(source: Any, entry: Entry, events: list[Event], _: Any) -> bool:
        return _apply(source, entry, events, {})

    of_states._apply = quiet


def noticed(change: Callable[[LinkState, NoticeLot], None]) -> None:
    """Notices are others when they are read, or change something."""

    def changed(self: LinkState, record: Lot | NoticeLot | Void) -> Lot | NoticeLot | Void:
        if isinstance(record, NoticeLot):
            change(self, record)
        return record

    fed(changed)


def hands_notices_to_the_first_slot() -> None:
    def first(_: LinkState, lot: NoticeLot) -> None:
        for entry in lot.entries:
            entry.slots = entry.slots[:1]

    noticed(first)


def counts_notices_as_lots() -> None:
    def count(self: LinkState, _: NoticeLot) -> None:
        for source in self._sources.values():
            source.have += 1

    noticed(count)


def takes_notices_of_other_epochs() -> None:
    noticed(lambda self, lot: setattr(lot, "epoch", self.epoch))


def takes_notices_of_other_links() -> None:
    noticed(lambda self, lot: setattr(lot, "link", self.link))


def hides_codes() -> None:
    on_answer = gateway.on_answer

    def hidden(self: Any, slot: int, answer: Any) -> None:
        if isinstance(answer, wire.Refused):
            answer.code = "refused"
        on_answer(self, slot, answer)

    gateway.on_answer = hidden


def never_asks_again() -> None:
    of_state.tick = lambda *_: []


def asks_without_a_pause() -> None:
    of_states.RESYNC_PAUSE_MS = 0


def read(change: Callable[[bytes], bytes | None]) -> None:
    """What is read is other bytes, or nothing."""
    delivery = wire.delivery

    def changed(value: bytes) -> Lot | NoticeLot | Void | None:
        return None if (found := change(value)) is None else delivery(found)

    of_wire.delivery = changed


def drops_lots_with_unknown_entries() -> None:
    read(lambda value: None if b"sparkle" in value else value)


def drops_records_with_unknown_fields() -> None:
    read(lambda value: None if b'"later"' in value else value)


def guesses_at_later_versions() -> None:
    read(lambda value: value.replace(b'"v":1000', b'"v":1'))


def overlooks_later_versions() -> None:
    of_wire._refuse_later = lambda _: None


def reads_what_is_not_committed() -> None:
    consumer_of = kafka.consumer_of

    def uncommitted(brokers: str, client_id: str) -> AIOKafkaConsumer:
        consumer = consumer_of(brokers, client_id)
        consumer._isolation_level = "read_uncommitted"
        return consumer

    of_life.consumer_of = uncommitted


def drops_signals() -> None:
    def on_signal(_: Any, __: Group, ___: Signal, ____: Sequence[int]) -> None:
        return

    gateway.on_signal = on_signal


def counts_tries_in_seconds() -> None:
    send = Link.send

    async def seconds(
        self: Link, session: Any, group: str, client_id: str, tried_at: int, *rest: Any, **more: Any
    ) -> None:
        await send(self, session, group, client_id, tried_at // 1_000, *rest, **more)

    of_link.send = seconds


def sends_for_another_device() -> None:
    send = Link.send

    async def other(self: Link, session: Session, *rest: Any, **more: Any) -> None:
        await send(self, _of_no_device(self, session), *rest, **more)

    of_link.send = other


def _of_no_device(of: Link, session: Session) -> Session:
    other = of.sessions[session.slot] = replace(session, device="any")
    return other


def routes_answers_by_client_id() -> None:
    def on_answer(self: Any, _: int, answer: Answer) -> None:
        self._push(wire.encode(answer), tuple(self._connections))

    gateway.on_answer = on_answer


def never_sends_again() -> None:
    of_driver._RESEND_S = 1_000.0


def takes_a_resend_for_a_new_try() -> None:
    send = Link.send

    async def now(self: Link, session: Any, group: str, client_id: str, _: int, *rest: Any, **more: Any) -> None:
        await send(self, session, group, client_id, time.time_ns() // 1_000_000, *rest, **more)

    of_link.send = now


def shows_what_comes() -> None:
    def push(self: Timeline, message: Message) -> list[Message]:
        self.last = max(self.last, message.seq)
        return [message]

    of_timeline.push = push


def overlooks_gaps() -> None:
    push = Timeline.push

    def skipping(self: Timeline, message: Message) -> list[Message]:
        message.prev = min(message.prev, self.last)
        return push(self, message)

    of_timeline.push = skipping


def counts_seqs_by_one() -> None:
    push = Timeline.push

    def dense(self: Timeline, message: Message) -> list[Message]:
        message.prev = message.seq - 1
        return push(self, message)

    of_timeline.push = dense


def overlooks_heads() -> None:
    def on_head(*_: Any) -> None:
        return

    gateway.on_head = on_head


def begins_with_the_next_message() -> None:
    def on_live(self: Any, group: Group, slots: Sequence[int], _: Any) -> None:
        _on_live(self, group, slots, [])

    overlooks_gaps()
    gateway.on_live = on_live


def pulls_once() -> None:
    async def pull_soon(*_: Any) -> None:
        return

    of_client._pull_soon = pull_soon


def gives_up_when_a_beat_is_late() -> None:
    beat = Link._beat

    async def hasty(self: Link, registration: Any) -> None:
        async with asyncio.timeout(1):
            await beat(self, registration)

    of_link._beat = hasty


#: What is wrong, and the case that finds it.
VARIANTS: Final[dict[Callable[[], None], str]] = {
    takes_any_answer: "register",
    registers_under_one_requester: "register_again",
    waits_for_an_answer_without_end: "register_again",
    gives_up_when_it_is_refused: "refused_registration",
    reads_from_the_beginning: "position",
    announces_before_it_listens: "position",
    beats_seldom: "beat",
    beats_without_its_sessions: "beat",
    keeps_connections_after_a_void: "void",
    knows_voids_of_its_epoch_only: "void_of_a_later_epoch",
    takes_any_void_for_its_own: "foreign_void",
    goes_without_leaving: "leave",
    keys_sessions_by_user_alone: "session_up",
    tells_nobody_that_a_session_ended: "session_down",
    uses_slots_again: "slots",
    binds_the_first_slot_only: "live",
    delivers_to_every_session: "expand",
    delivers_to_one_session_a_group: "expand",
    applies_bindings_first: "order",
    ignores_unbound: "unbound",
    fails_at_a_slot_without_connection: "closed_slot",
    takes_lots_of_other_epochs: "other_epoch",
    takes_lots_of_other_links: "other_link",
    applies_old_lots: "old_lot",
    overlooks_holes: "hole",
    goes_on_after_a_hole: "hole",
    drops_holes_without_asking: "hole",
    begins_with_whatever_lot_comes_first: "first_lot",
    distrusts_every_source_at_once: "other_sources",
    keeps_bindings_at_a_reset: "reset",
    forgets_every_source_at_a_reset: "reset",
    drops_what_is_for_unknown_groups: "unknown_group",
    drops_what_is_for_unknown_audiences: "unknown_audience",
    delivers_unknown_audiences_to_everyone: "unknown_audience",
    delivers_audiences_to_everyone: "audience",
    delivers_signals_to_everyone: "audience_of_signals",
    overlooks_who_entered: "audience_delta",
    overlooks_who_left: "audience_delta",
    keeps_what_it_knew_of_an_audience: "audience_told_again",
    keeps_ended_audiences: "audience_ended",
    overlooks_audiences_of_bindings: "bound_audiences",
    keeps_audiences_of_who_left: "last_slot",
    takes_a_member_out_with_its_first_slot: "last_slot",
    keeps_audiences_by_slot: "second_slot",
    asks_when_nobody_is_in_an_audience: "audience_of_nobody",
    makes_audiences_that_it_was_not_told_of: "missed_audience",
    overlooks_unknown_audiences_of_bindings: "missed_audience",
    asks_when_an_unknown_audience_ends: "unknown_end",
    keeps_audiences_at_a_reset: "reset_audiences",
    tells_everybody_of_changes: "changed",
    tells_of_changes_by_audience_alone: "changed",
    tells_nobody_of_deltas: "changed_by_delta",
    hands_notices_to_the_first_slot: "notice",
    counts_notices_as_lots: "notice_order",
    takes_notices_of_other_epochs: "notice_of_another_epoch",
    takes_notices_of_other_links: "notice_of_another_epoch",
    hides_codes: "refused",
    never_asks_again: "resync_again",
    asks_without_a_pause: "resync_storm",
    drops_lots_with_unknown_entries: "unknown_entry",
    drops_records_with_unknown_fields: "unknown_fields",
    guesses_at_later_versions: "unknown_version",
    overlooks_later_versions: "unknown_version",
    reads_what_is_not_committed: "read_committed",
    drops_signals: "signal",
    counts_tries_in_seconds: "send",
    sends_for_another_device: "send",
    routes_answers_by_client_id: "answers",
    never_sends_again: "resend",
    takes_a_resend_for_a_new_try: "resend",
    overlooks_gaps: "gap",
    shows_what_comes: "known_message",
    counts_seqs_by_one: "sparse_seqs",
    overlooks_heads: "head",
    begins_with_the_next_message: "live_then_pull",
    pulls_once: "not_stored_yet",
    gives_up_when_a_beat_is_late: "broker_restart",
}


if __name__ == "__main__":
    next(variant for variant in VARIANTS if variant.__name__ == sys.argv[1])()
    asyncio.run(driver.main())
