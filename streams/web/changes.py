"""What changed in a group after a version, for those who keep a copy: from memory, else from the final state.

Versions rise by one a change, so a hole is seen: a page is whole, or it is refused, or the reader is told to take a
snapshot. A page is bounded by events and by bytes.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec
from aiohttp import web

from streams.sinks.patience import AwayError
from streams.web.asks import Ask
from streams.web.call import LIMIT, Call, Choice, Number
from streams.web.of_changes import NewestAsk, decode_newest
from streams.web.problems import Code, ProblemError
from streams.web.relation_answers import Part
from streams.web.tokens import Claims
from topics import limits
from topics.codec import encode

SINCE: Final = Number("since", "the version that you hold", usual=0)
PART: Final = Choice(
    "part",
    "`hot`: members, roles, lists, bans, requests, mutes and what channels are; `cold`: profiles and names; or all",
    ("hot", "cold", "all"),
    "all",
)

#: Events that change nothing but profiles.
_COLD_ALONE: Final = frozenset({"group_updated", "member_updated"})
#: Events that change names, or whose names there are.
_COLD: Final = _COLD_ALONE | {
    *("group_created", "group_deleted", "channel_created", "channel_updated", "channel_deleted"),
    *("category_created", "category_updated", "category_deleted", "role_created", "role_updated", "role_deleted"),
    *("members_added", "members_removed"),
}
_STEP: Final = 16  # events read from the store at once: each may be large


class Owners(Protocol):
    """Asks the owner of a group."""

    async def ask(self, ask: Ask, asker: Claims) -> bytes:
        """See `OwnerClient.ask`."""


class Events(Protocol):
    """Where events are kept."""

    async def events(self, app: str, group: str, low: int, high: int) -> dict[int, bytes]:
        """See `FinalState.events`."""

    async def version(self, app: str, group: str) -> int:
        """See `FinalState.version`."""


class _Tag(msgspec.Struct):
    t: str


_tag_of: Final = msgspec.json.Decoder(_Tag).decode


class ChangesView:
    """Serves pages of events."""

    def __init__(self, owners: Owners, stored: Events) -> None:
        self._owners = owners
        self._stored = stored

    async def serve(self, request: web.Request) -> web.Response:
        """The view `changes`: each event as it travelled, byte for byte."""
        call = Call(request, _MISSING, (SINCE, LIMIT, PART))
        app, group = call.name("app"), call.name("group")
        since, limit, part = call.number(SINCE) or 0, call.limit(), call.choice(PART)
        newest = decode_newest(await self._owners.ask(NewestAsk(app, group, since, limit), call.asker))
        snapshot = since > newest.version or newest.version - since > limits.CHANGES_BEHIND
        found = [] if snapshot else [(version, bytes(event)) for version, event in newest.events]
        if not snapshot and since < newest.version and not found:
            high = min(since + limit, newest.begin - 1)
            found = await self._read(app, group, since + 1, high)
            snapshot = not found
        upto = found[-1][0] if found else since
        told = b",".join([event for _, event in found if _wanted(event, part)])
        flags = {
            "version": newest.version,
            "state": newest.state,
            "upto": newest.version if snapshot else upto,
            "more": not snapshot and upto < newest.version,
            "snapshot": snapshot,
            "alive": newest.alive,
        }
        body = encode(flags)[:-1] + b',"changes":[' + told + b"]}"
        return web.Response(body=body, content_type="application/json")

    async def _read(self, app: str, group: str, low: int, high: int) -> list[tuple[int, bytes]]:
        """Events from a version on, without a hole; none where the first is no longer kept.

        Raises:
            ProblemError: not_stored_yet.
        """
        found: list[tuple[int, bytes]] = []
        try:
            stored = await self._stored.version(app, group)  # first: all events up to it are there by now
            if stored < low:
                raise ProblemError("not_stored_yet", f"version {low}")
            size, high = 0, min(high, stored)
            while low <= high and size < limits.CHANGES_BYTES:
                last = min(high, low + _STEP - 1)
                step = await self._stored.events(app, group, low, last)
                while low in step:
                    found.append((low, step[low]))
                    size += len(step[low])
                    low += 1
                if low <= last:  # a hole
                    break
        except AwayError as error:
            raise ProblemError("not_stored_yet", str(error)) from None
        return found


def _wanted(event: bytes, part: Part) -> bool:
    if part == "all":
        return True
    tag = _tag_of(event).t
    return tag in _COLD if part == "cold" else tag not in _COLD_ALONE


_MISSING: Final[Code] = "unknown_group"
