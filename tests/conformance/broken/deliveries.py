"""Gateways that take lots otherwise than they must."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer

import linkcast_gateway.state as state_module
from linkcast_gateway import Group, Message, Signal, kafka
from linkcast_gateway.state import Event, LinkState, Resync
from linkcast_gateway.wire import Bound, Entry, Lot, Unbound, Void
from tests.conformance.broken.base import (
    delivered,
    entered,
    expanded,
    fed,
    gateway,
    numbered,
    of_life,
    of_state,
    of_states,
    of_wire,
    plain_lot,
    read,
)


def binds_the_first_slot_only() -> None:
    def first(entry: Entry) -> Entry:
        if isinstance(entry, Bound):
            entry.ordinals, entry.slots = entry.ordinals[:1], entry.slots[:1]
        return entry

    entered(first)


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
        events = plain_lot(self, lot, now_ms)
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
        events = plain_lot(self, lot, now_ms)
        self._sources[lot.source].groups = groups | self._sources[lot.source].groups
        return events

    of_state._lot = changed


def forgets_every_source_at_a_reset() -> None:
    def changed(self: LinkState, lot: Lot, now_ms: int) -> list[Event]:
        if lot.reset:
            for source in self._sources.values():
                source.groups = {}
        return plain_lot(self, lot, now_ms)

    of_state._lot = changed


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


def never_asks_again() -> None:
    of_state.tick = lambda *_: []


def asks_without_a_pause() -> None:
    of_states.RESYNC_PAUSE_MS = 0


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


VARIANTS: Final[dict[Callable[[], None], str]] = {
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
    begins_with_whatever_lot_comes_first: "first_lot",
    drops_holes_without_asking: "hole",
    goes_on_after_a_hole: "hole",
    distrusts_every_source_at_once: "other_sources",
    keeps_bindings_at_a_reset: "reset",
    forgets_every_source_at_a_reset: "reset",
    drops_what_is_for_unknown_groups: "unknown_group",
    drops_what_is_for_unknown_audiences: "unknown_audience",
    delivers_unknown_audiences_to_everyone: "unknown_audience",
    never_asks_again: "resync_again",
    asks_without_a_pause: "resync_storm",
    drops_lots_with_unknown_entries: "unknown_entry",
    drops_records_with_unknown_fields: "unknown_fields",
    guesses_at_later_versions: "unknown_version",
    overlooks_later_versions: "unknown_version",
    reads_what_is_not_committed: "read_committed",
    drops_signals: "signal",
}
