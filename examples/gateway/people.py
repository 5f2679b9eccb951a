"""Who of a group is online on which link: asked of the views for the groups that somebody looks at here.

One question a second and group, whatever the number of pages; more only where something changed. What is told is
bounded: the busiest links, and the first so many people.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from linkcast_gateway import PullError, Views

log = logging.getLogger(__name__)

LINKS: Final = 8
SHOWN: Final = 100
_EVERY_S: Final = 1.0
_AT_ONCE: Final = 4


class _GroupAnswer(msgspec.Struct):
    version: int
    members: int
    map: int


class _LinkCount(msgspec.Struct):
    link: str
    sessions: int


class _LinkMapAnswer(msgspec.Struct):
    links: list[_LinkCount]


class _Listener(msgspec.Struct):
    user: str
    slots: list[int]


class _LinkSessionsAnswer(msgspec.Struct):
    members: list[_Listener]
    next: str | None = None


class _Member(msgspec.Struct):
    user: str


class _MembersAnswer(msgspec.Struct):
    members: list[_Member]


class Link(msgspec.Struct, frozen=True):
    """A link that sessions of the group are on."""

    link: str
    sessions: int


class Person(msgspec.Struct, frozen=True):
    """A member, and how many sessions on which link."""

    user: str
    links: list[tuple[str, int]]


class People(msgspec.Struct, frozen=True, tag_field="t", tag="people"):
    """Who is there.

    Attributes:
        group: where.
        members: how many members there are.
        online: how many of them are online; where the group is too large to be listed, how many sessions there are.
        links: every link with listeners, the busiest first.
        shown: some of the members, those online first.
    """

    group: str
    members: int
    online: int
    links: list[Link]
    shown: list[Person]


async def people_of(views: Views, app: str, group: str, members: int) -> People:
    """Ask who is there.

    Raises:
        PullError: there is no answer.
    """
    path = f"/v1/apps/{app}/groups/{group}"
    found = (await views.get(f"{path}/link-map", _LinkMapAnswer)).links
    links = [Link(one.link, one.sessions) for one in sorted(found, key=lambda one: (-one.sessions, one.link))]
    online: dict[str, list[tuple[str, int]]] = {}
    listed = len(links) <= LINKS
    for link in links[:LINKS]:
        answer = await _listeners(views, f"{path}/link-map/{link.link}")
        listed = listed and answer.next is None
        for one in answer.members:
            online.setdefault(one.user, []).append((link.link, len(one.slots)))
    others = (await views.get(f"{path}/members", _MembersAnswer, limit=SHOWN)).members
    shown = [Person(user, online[user]) for user in sorted(online)]
    shown += [Person(one.user, []) for one in others if one.user not in online] if listed else []
    count = len(online) if listed else sum(link.sessions for link in links)
    return People(group, members, count, links, shown[:SHOWN])


async def _listeners(views: Views, path: str) -> _LinkSessionsAnswer:
    try:
        return await views.get(path, _LinkSessionsAnswer, limit=SHOWN)
    except PullError as error:
        if error.code != "unknown_link":
            raise
        return _LinkSessionsAnswer([])  # the last session there ended just now


class Watch:
    """Asks about the groups that are looked at, and tells when something changed.

    Args:
        app: the app of the groups.
        views: who is asked.
        watched: the groups that are looked at just now.
        tell: is given what a group's pages are to be told: its people, or a code when nobody could say.
    """

    def __init__(
        self, app: str, views: Views, watched: Callable[[], set[str]], tell: Callable[[str, People | str], None]
    ) -> None:
        self._app = app
        self._views = views
        self._watched = watched
        self._tell = tell
        self._known: dict[str, tuple[tuple[int, int], People]] = {}
        self._wake = asyncio.Event()

    def begin(self, group: str) -> People | None:
        """Somebody looks at a group: what is known of it at once; what is not is asked without waiting."""
        self._wake.set()
        known = self._known.get(group)
        return known[1] if known else None

    async def run(self) -> None:
        """Ask, for as long as it is let."""
        while True:
            watched = self._watched()
            self._known = {group: known for group, known in self._known.items() if group in watched}
            turns = asyncio.Semaphore(_AT_ONCE)
            await asyncio.gather(*(self._look(group, turns) for group in watched))
            try:
                async with asyncio.timeout(_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    async def _look(self, group: str, turns: asyncio.Semaphore) -> None:
        """Ask for one group; what is known already stays known while nobody answers."""
        known = self._known.get(group)
        async with turns:
            try:
                is_now = await self._views.get(f"/v1/apps/{self._app}/groups/{group}", _GroupAnswer)
                versions = (is_now.version, is_now.map)
                if known is not None and known[0] == versions:
                    return
                people = await people_of(self._views, self._app, group, is_now.members)
            except PullError as error:
                if known is None:
                    self._tell(group, error.code)
                return
        self._known[group] = (versions, people)
        if known is None or known[1] != people:
            self._tell(group, people)
