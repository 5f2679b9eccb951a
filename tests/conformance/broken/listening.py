"""Gateways that mistake what sessions asked to hear, what they hear in place of messages, and what goes ahead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from linkcast_gateway import Group, Link, Signal
from linkcast_gateway import state as state_module
from linkcast_gateway.state import LinkState
from linkcast_gateway.wire import AudienceSet, Background, Changed, Drive, Entry, Lot, Mention, Subscribed, Unread
from tests.conformance.broken.base import entered, fed, numbered, of_link, of_state, of_states, plain_apply


def edited(type_: type, **fields: Any) -> None:
    """Entries of a kind say something else."""

    def change(entry: Entry) -> Entry:
        if isinstance(entry, type_):
            for name, value in fields.items():
                setattr(entry, name, value)
        return entry

    entered(change)


def overlooked(type_: type) -> None:
    """Entries of a kind are skipped."""
    entered(lambda entry: None if isinstance(entry, type_) else entry)


def named(change: Callable[[Any], Any]) -> None:
    """Entries that name their sessions, and may go ahead, are others, or none."""
    follows = state_module._named

    def changed(entry: Any) -> Any:
        return None if (found := change(entry)) is None else follows(found)

    of_states._named = changed


def hides_what_was_refused() -> None:
    named(lambda entry: replace(entry, refused=[]) if isinstance(entry, Subscribed) else entry)


def begins_without_heads_of_subscriptions() -> None:
    named(lambda entry: replace(entry, heads=[]) if isinstance(entry, Subscribed) else entry)


def takes_slots_for_ordinals() -> None:
    edited(AudienceSet, by="member")


def knows_no_visitors() -> None:
    def bound_only(source: Any, entry: Entry, events: Any, flips: Any) -> bool:
        if isinstance(entry, AudienceSet) and Group(entry.app, entry.group) not in source.groups:
            return True
        return plain_apply(source, entry, events, flips)

    of_states._apply = bound_only


def tells_everybody_who_types() -> None:
    edited(Signal, audience=0)


def tells_changes_to_who_did_not_ask() -> None:
    edited(Changed, among=0)


def notices_who_got_the_message() -> None:
    edited(Unread, beside=0)


def overlooks_notices() -> None:
    overlooked(Unread)


def pushes_to_the_background() -> None:
    overlooked(Background)


def never_says_who_is_in_the_background() -> None:
    async def silent(*_: Any, **__: Any) -> None:
        return

    of_link.ground = silent


def keeps_the_background_at_a_reset() -> None:
    begin = state_module._begin_anew

    def keeping(number: int, source: Any) -> Any:
        background = source.background
        event = begin(number, source)
        source.background = background
        return event

    of_states._begin_anew = keeping


def overlooks_drives() -> None:
    overlooked(Drive)


def overlooks_mentions() -> None:
    named(lambda entry: None if isinstance(entry, Mention) else entry)


def mentions_nobody() -> None:
    send = Link.send

    async def without(self: Link, *rest: Any, **more: Any) -> None:
        await send(self, *rest, **{name: value for name, value in more.items() if name != "mentions"})

    of_link.send = without


def counts_no_urgent_lots() -> None:
    numbered(lambda have, lot: lot.number - 1 if lot.urgent and lot.number > have else have)


def acknowledges_nothing() -> None:
    of_state.acks = lambda _: []


def overlooks_that_it_fell_behind() -> None:
    def behind(_: LinkState, record: Any) -> Any:
        if isinstance(record, Lot):
            record.overrun = False
        return record

    fed(behind)


VARIANTS: Final[dict[Callable[[], None], str]] = {
    hides_what_was_refused: "subscribe",
    begins_without_heads_of_subscriptions: "subscribe",
    takes_slots_for_ordinals: "audience_of_sessions",
    knows_no_visitors: "visitor",
    tells_everybody_who_types: "typing",
    tells_changes_to_who_did_not_ask: "changed_among",
    notices_who_got_the_message: "unread",
    overlooks_notices: "unread",
    pushes_to_the_background: "background",
    never_says_who_is_in_the_background: "background",
    keeps_the_background_at_a_reset: "background_reset",
    overlooks_drives: "drive",
    overlooks_mentions: "mention",
    mentions_nobody: "send_mentions",
    counts_no_urgent_lots: "urgent",
    acknowledges_nothing: "ack",
    overlooks_that_it_fell_behind: "overrun",
}
