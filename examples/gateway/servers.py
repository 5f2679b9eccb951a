"""What a server is to one user: its channels, roles, and who sees a channel. Asked of the views each time.

The views compute it as the asking user's: what the user does not see is not told. Pages ask anew when a hint says that
something changed, so nothing is kept here.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from linkcast_gateway import PullError, Views
from linkcast_gateway.wire import Notice

SHOWN: Final = 200  # members told of a channel
HOLDERS: Final = 50  # members told of a role
NOTICES: Final = 50  # notices told of an inbox
_PAGE: Final = 500  # entries in one answer, at most
_AT_ONCE: Final = 4


class _Profile(msgspec.Struct, frozen=True):
    name: str = ""


class _Group(msgspec.Struct):
    version: int
    kind: str
    members: int
    owner: str | None = None
    profile: _Profile = _Profile()


class _Channel(msgspec.Struct):
    channel: str
    name: str = ""
    topic: str = ""
    kind: str = "text"
    category: str | None = None
    view_mode: str = "public"
    weight: int = 0


class _Seen(msgspec.Struct):
    channel: _Channel
    head: int
    permissions: list[str] | None = None


class _Channels(msgspec.Struct):
    version: int
    channels: list[_Seen]
    next: str | None = None


class _Role(msgspec.Struct):
    role: str
    name: str = ""
    priority: int = 0


class _Held(msgspec.Struct):
    role: _Role
    members: int


class _Roles(msgspec.Struct):
    roles: list[_Held]


class _Member(msgspec.Struct):
    user: str


class _Members(msgspec.Struct):
    members: list[_Member]
    count: int = 0


class _Me(msgspec.Struct):
    roles: list[str]
    permissions: list[str]


class _List(msgspec.Struct):
    roles: list[str]
    members: list[_Member]


class Access(msgspec.Struct):
    """Whether a user sees a channel, and the mode that says so."""

    sees: bool
    view_mode: str = "public"


class _Notices(msgspec.Struct):
    newest: int
    notices: list[Notice]


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
        path = self._path(group)
        about, seen, held, me = await asyncio.gather(
            self._views.get(path, _Group),
            self._channels(path, user),
            self._views.get(f"{path}/roles", _Roles),
            self._views.get(f"{path}/members/{user}", _Me),
        )
        turns = asyncio.Semaphore(_AT_ONCE)
        holders = await asyncio.gather(*(self._holders(path, one, turns) for one in held.roles))
        seen.sort(key=lambda one: (-one.channel.weight, one.channel.channel != "general", one.channel.channel))
        return {
            "version": about.version,
            "kind": about.kind,
            "name": about.profile.name,
            "owner": about.owner,
            "members": about.members,
            "channels": [{**msgspec.to_builtins(one.channel), "head": one.head} for one in seen],
            "roles": [
                {**msgspec.to_builtins(one.role), "count": one.members, "members": users}
                for one, users in zip(held.roles, holders, strict=True)
            ],
            "me": me,
        }

    async def channel(self, group: str, channel: str, user: str) -> dict[str, Any]:
        """Who sees a channel, and the lists that say so; for whoever sees it.

        Raises:
            PullError: there is no answer.
        """
        access = await self.admit(group, channel, user)
        path = f"{self._path(group)}/channels/{channel}"
        members, white, black = await asyncio.gather(
            self._views.get(f"{path}/members", _Members, limit=SHOWN),
            self._views.get(f"{path}/lists/white", _List, limit=SHOWN),
            self._views.get(f"{path}/lists/black", _List, limit=SHOWN),
        )
        named = {"white": _named(white), "black": _named(black)}
        return {"view_mode": access.view_mode, "count": members.count, "members": members.members, **named}

    async def admit(self, group: str, channel: str, user: str) -> Access:
        """Make sure that a user sees a channel now.

        Raises:
            PullError: the user does not, or there is no answer.
        """
        access = await self._views.get(f"{self._path(group)}/channels/{channel}/access/{user}", Access)
        if not access.sees:
            raise PullError("not_visible")
        return access

    async def notices(self, user: str, after: int) -> dict[str, Any]:
        """What the user was told in person after a number: the newest of it.

        Raises:
            PullError: there is no answer.
        """
        path = f"/v1/apps/{self._app}/users/{user}/notices"
        try:
            found = await self._views.get(path, _Notices, since=after, limit=_PAGE)
        except PullError as error:
            if error.code != "unknown_user":
                raise
            return {"notices": []}
        return {"notices": found.notices[-NOTICES:]}

    async def _channels(self, path: str, user: str) -> list[_Seen]:
        found: list[_Seen] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self._views.get(f"{path}/channels", _Channels, user=user, limit=_PAGE, **cursor)
            found += page.channels
            if page.next is None:
                return found
            cursor = {"cursor": page.next}

    async def _holders(self, path: str, held: _Held, turns: asyncio.Semaphore) -> list[str]:
        if held.role.role == "everyone":
            return []
        async with turns:
            page = await self._views.get(f"{path}/roles/{held.role.role}/members", _Members, limit=HOLDERS)
        return [one.user for one in page.members]

    def _path(self, group: str) -> str:
        return f"/v1/apps/{self._app}/groups/{group}"


def _named(one: _List) -> dict[str, list[str]]:
    return {"roles": one.roles, "users": [member.user for member in one.members]}
