"""Gateways that lose sessions otherwise than they must, or hand on otherwise what sessions are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from linkcast_gateway import Link, Session
from linkcast_gateway.state import LinkState
from linkcast_gateway.wire import Ended, PresenceOut, Resumed, SessionLot
from tests.conformance.broken.base import fed, of_link


def told(change: Callable[[LinkState, Any], Any]) -> None:
    """What single sessions are told is something else, or nothing."""

    def changed(self: LinkState, record: Any) -> Any:
        if isinstance(record, SessionLot):
            found = [change(self, entry) for entry in record.entries]
            record.entries = [entry for entry in found if entry is not None]
        return record

    fed(changed)


def says_good_bye_for_who_was_lost() -> None:
    async def lost(self: Link, session: Session, *_: Any) -> None:
        await self.down(session)

    of_link.lost = lost


def gives_who_resumes_a_new_slot() -> None:
    of_link.old_session = lambda self, app, user, device, _: self.new_session(app, user, device)


def begins_anew_after_a_void() -> None:
    resume = Link.resume

    async def or_up(self: Link, session: Session, was: Any, *rest: Any, **more: Any) -> None:
        if was.epoch == self.place_of(session).epoch:
            await resume(self, session, was, *rest, **more)
        else:
            await self.up(session, *rest, **more)

    of_link.resume = or_up


def takes_whoever_resumes_for_known() -> None:
    def known(_: LinkState, entry: Any) -> Any:
        if isinstance(entry, Resumed):
            entry.known = True
        return entry

    told(known)


def overlooks_who_was_ended() -> None:
    told(lambda _, entry: None if isinstance(entry, Ended) else entry)


def takes_ends_of_other_epochs() -> None:
    fed(lambda self, record: _own(self, record) if isinstance(record, SessionLot) else record)


def _own(state: LinkState, record: Any) -> Any:
    record.epoch = state.epoch
    return record


def tells_nobody_who_is_online() -> None:
    told(lambda _, entry: None if isinstance(entry, PresenceOut) else entry)


def tells_everybody_who_is_online() -> None:
    def everybody(_: LinkState, entry: Any) -> Any:
        if isinstance(entry, PresenceOut):
            entry.slots = list(range(8))
        return entry

    told(everybody)


VARIANTS: Final[dict[Callable[[], None], str]] = {
    says_good_bye_for_who_was_lost: "lost",
    gives_who_resumes_a_new_slot: "resume",
    begins_anew_after_a_void: "resume_elsewhere",
    takes_whoever_resumes_for_known: "resume_unknown",
    overlooks_who_was_ended: "ended",
    takes_ends_of_other_epochs: "ended",
    tells_nobody_who_is_online: "presence",
    tells_everybody_who_is_online: "presence",
}
