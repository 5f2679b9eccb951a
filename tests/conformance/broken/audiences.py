"""Gateways that mistake who of a group hears what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from pyroaring import BitMap

import linkcast_gateway.listeners as listeners_module
import linkcast_gateway.state as state_module
from linkcast_gateway import Group, Signal, wire
from linkcast_gateway.listeners import Listeners
from linkcast_gateway.state import Event, LinkState
from linkcast_gateway.wire import AudienceDelta, Bound, Changed, Entry, Lot, NoticeLot
from tests.conformance.broken.base import (
    changed_audiences,
    entered,
    listeners_any,
    noticed,
    of_listeners,
    of_state,
    of_states,
    plain_apply,
    plain_lot,
    plain_slots_of,
)


def delivers_audiences_to_everyone() -> None:
    def everyone(self: Listeners, audience: int) -> tuple[int, ...] | None:
        return None if plain_slots_of(self, audience) is None else self.slots

    of_listeners.slots_of = everyone


def delivers_signals_to_everyone() -> None:
    def everyone(entry: Entry) -> Entry:
        if isinstance(entry, Signal | wire.Head):
            entry.audience = 0
        return entry

    entered(everyone)


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
    of_listeners.slots_of = lambda self, audience: plain_slots_of(self, audience) or None


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
        events = plain_lot(self, lot, now_ms)
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
        return plain_apply(source, entry, events, {})

    of_states._apply = quiet


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


VARIANTS: Final[dict[Callable[[], None], str]] = {
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
}
