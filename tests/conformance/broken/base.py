"""What is patched to break a rule: parts of the client library and the example gateway, without their types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import linkcast_gateway.listeners as listeners_module
import linkcast_gateway.state as state_module
from examples.gateway import driver
from linkcast_gateway import Link, Timeline, life, wire
from linkcast_gateway.listeners import Listeners
from linkcast_gateway.state import Deliver, Event, LinkState
from linkcast_gateway.wire import AudienceDelta, Entry, Lot, NoticeLot, Void

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

plain_feed, plain_lot, plain_apply = LinkState.feed, LinkState._lot, state_module._apply
plain_slots_of = Listeners.slots_of
plain_on_live = gateway.on_live


def fed(feed: Callable[[LinkState, Any], Any]) -> None:
    """What a state is given is another record, or none."""

    def changed(self: LinkState, record: Lot | NoticeLot | Void, now_ms: int) -> list[Event]:
        found = feed(self, record)
        return [] if found is None else plain_feed(self, found, now_ms)

    of_state.feed = changed


def entered(change: Callable[[Entry], Entry | None]) -> None:
    """What a state applies is another entry, or none."""

    def changed(source: Any, entry: Entry, events: list[Event], flips: Any) -> bool:
        found = change(entry)
        return True if found is None else plain_apply(source, found, events, flips)

    of_states._apply = changed


def expanded(slots_of: Callable[[LinkState, Deliver], Sequence[int]]) -> None:
    """A delivery goes to other slots."""

    def changed(self: LinkState, record: Lot | Void, now_ms: int) -> list[Event]:
        return [
            replace(event, slots=tuple(slots_of(self, event))) if isinstance(event, Deliver) else event
            for event in plain_feed(self, record, now_ms)
        ]

    of_state.feed = changed


def numbered(have: Callable[[int, Lot], int]) -> None:
    """A source's `have` is another one before a lot is applied."""

    def changed(self: LinkState, lot: Lot, now_ms: int) -> list[Event]:
        source = self._sources.setdefault(lot.source, state_module._Source())
        source.have = have(source.have, lot)
        return plain_lot(self, lot, now_ms)

    of_state._lot = changed


def delivered(judge: Callable[[Any, Any], bool]) -> None:
    """Another verdict on an entry whose group or audience is not known."""
    deliver = state_module._deliver

    def changed(source: Any, entry: Any, events: list[Event]) -> bool:
        return deliver(source, entry, events) or judge(source, entry)

    of_states._deliver = changed


def changed_audiences(change: Callable[[AudienceDelta], None]) -> None:
    """A delta says something else."""

    def other(entry: Entry) -> Entry:
        if isinstance(entry, AudienceDelta):
            change(entry)
        return entry

    entered(other)


def noticed(change: Callable[[LinkState, NoticeLot], None]) -> None:
    """Notices are others when they are read, or change something."""

    def changed(self: LinkState, record: Lot | NoticeLot | Void) -> Lot | NoticeLot | Void:
        if isinstance(record, NoticeLot):
            change(self, record)
        return record

    fed(changed)


def read(change: Callable[[bytes], bytes | None]) -> None:
    """What is read is other bytes, or nothing."""
    delivery = wire.delivery

    def changed(value: bytes) -> Any:
        return None if (found := change(value)) is None else delivery(found)

    of_wire.delivery = changed
