"""What a server is to one user: its channels, roles, and who sees a channel. Asked of the views each time.

The views compute it as the asking user's: what the user does not see is not told. Pages ask anew when a hint says that
something changed, so nothing is kept here.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from linkcast_gateway import Access, PullError, RoleHeld, Views
from linkcast_gateway.answers import Member

SHOWN: Final = 200  # members told of a channel
HOLDERS: Final = 50  # members told of a role
NOTICES: Final = 50  # notices told of an inbox
_PAGE: Final = 500  # entries in one answer, at most
_AT_ONCE: Final = 4
_LISTS: Final = ("white", "black")
_EVERYONE: Final = "everyone"


class _Profile(msgspec.Struct, frozen=True):
    name: str = ""


class _Group(msgspec.Struct):
    version: int
    kind: str
    members: int
    owner: str | None = None
    profile: _Profile = _Profile()


class _Head(msgspec.Struct):
    channel: str
    head: int


class _Heads(msgspec.Struct):
    channels: list[_Head] = []


class _List(msgspec.Struct):
    roles: list[str]
    members: list[Member]


class Servers:
    """Asks what servers are.

    Args:
        app: the app of the groups.
        views: who is asked.
    """

    def __init__(self, app: str, views: Views) -> None:
        self._app = app
        self._views = views

    async def server(self, group: str, user: str) -> dict[str, Any]:
        """Its channels as the user sees them, its roles, and what the user may do.

        Raises:
            PullError: there is no answer.
        """
        where = self._app, group
        about, seen, roles, me = await asyncio.gather(
            self._views.get(self._path(group), _Group),
            self._views.channels(*where, user),
            self._views.roles(*where),
            self._views.member(*where, user),
        )
        turns = asyncio.Semaphore(_AT_ONCE)
        holders = await asyncio.gather(*(self._holders(group, one, turns) for one in roles))
        seen.sort(key=lambda one: (-one.channel.weight, one.channel.channel != "general", one.channel.channel))
        return {
            "version": about.version,
            "kind": about.kind,
            "name": about.profile.name,
            "owner": about.owner,
            "members": about.members,
            "channels": [{**msgspec.structs.asdict(one.channel), "head": one.head} for one in seen],
            "roles": [
                {**msgspec.structs.asdict(one.role), "count": one.members, "members": users}
                for one, users in zip(roles, holders, strict=True)
            ],
            "me": me,
        }

    async def heads(self, group: str) -> list[tuple[str, int]]:
        """How far the channels of a group are, if they are few.

        Raises:
            PullError: there is no answer.
        """
        found = await self._views.get(self._path(group), _Heads)
        return [(one.channel, one.head) for one in found.channels]

    async def channel(self, group: str, channel: str, user: str) -> dict[str, Any]:
        """Who sees a channel, by what the user does, and for who manages channels the lists; for whoever sees it.

        Raises:
            PullError: there is no answer.
        """
        access = await self.admit(group, channel, user)
        members = await self._views.members(self._app, group, channel, limit=SHOWN)
        lists = await self._lists(group, channel) if access.may("manage_channels") else None
        return {
            "view_mode": access.view_mode,
            "count": members.count,
            "members": [one.user for one in members.members],
            "words": access.words,
            "by": access.roles,
            "permissions": [one.permission for one in access.permissions if one.may],
            "lists": lists,
        }

    async def admit(self, group: str, channel: str, user: str) -> Access:
        """Make sure that a user sees a channel now.

        Raises:
            PullError: the user does not, or there is no answer.
        """
        access = await self._views.access(self._app, group, channel, user)
        if not access.sees:
            raise PullError("not_visible")
        return access

    async def _lists(self, group: str, channel: str) -> dict[str, dict[str, list[str]]]:
        path = f"{self._path(group)}/channels/{channel}/list"
        asked = [self._views.get(path, _List, list=which, limit=SHOWN) for which in _LISTS]
        found = await asyncio.gather(*asked)
        return {
            which: {"roles": one.roles, "users": [member.user for member in one.members]}
            for which, one in zip(_LISTS, found, strict=True)
        }

    async def notices(self, user: str, after: int) -> dict[str, Any]:
        """What the user was told in person after a number: the newest of it.

        Raises:
            PullError: there is no answer.
        """
        try:
            found = await self._views.notices(self._app, user, after, _PAGE)
        except PullError as error:
            if error.code != "unknown_user":
                raise
            return {"notices": []}
        return {"notices": found.notices[-NOTICES:]}

    async def _holders(self, group: str, held: RoleHeld, turns: asyncio.Semaphore) -> list[str]:
        if held.role.role == _EVERYONE:
            return []
        async with turns:
            page = await self._views.members(self._app, group, role=held.role.role, limit=HOLDERS)
        return [one.user for one in page.members]

    def _path(self, group: str) -> str:
        return f"/v1/apps/{self._app}/groups/{group}"
