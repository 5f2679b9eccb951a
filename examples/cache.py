"""A service that keeps a copy of a server: by what changed since the version it holds, by a snapshot when far behind.

Written from the contract alone. While the pipeline runs, and with a token of role `gateway`:
`python -m examples.cache --views http://127.0.0.1:18080 --token … demo town` prints how many members each channel has,
after each change.

Two rules make a copy right. Apply events in the order of their versions; applying one again changes nothing. And what
follows by rule has no event: who is a member no more is on no list and holds no role, a deleted role is on no list, and
the channels of a deleted category stand alone.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import defaultdict
from typing import Any

from linkcast_gateway.errors import PullError
from linkcast_gateway.views import Views

_PAGE = 500
_AGAIN_S = 1.0
#: What passes by itself: asked again.
_SOON = frozenset({"not_stored_yet", "owner_unknown", "too_slow", "away"})
#: What was there a moment ago: a snapshot begins again.
_GONE = frozenset({"unknown_channel", "unknown_category", "unknown_role"})

Event = dict[str, Any]
#: A channel or a category, and which of its lists.
ListId = tuple[str, str, str]


class Copy:
    """A copy of one server: who is a member, holds which role, is on which list; which channels there are.

    Attributes:
        version: the server's version that it is of; 0 for none.
        snapshots: how often it was read anew.
    """

    def __init__(self, app: str, group: str) -> None:
        self.version = 0
        self.snapshots = 0
        self.alive = False
        self._path = f"/v1/apps/{app}/groups/{group}"
        self._forget()

    def _forget(self) -> None:
        self.owner: str | None = None
        self.members: dict[int, str] = {}
        self.profiles: dict[int, Event] = {}
        self.roles: dict[str, Event] = {}
        self.holders: dict[str, set[int]] = defaultdict(set)
        self.channels: dict[str, Event] = {}
        self.categories: dict[str, Event] = {}
        self.listed_roles: dict[ListId, set[str]] = defaultdict(set)
        self.listed_users: dict[ListId, set[int]] = defaultdict(set)

    # What it is asked.

    def sees(self, channel: str) -> set[str]:
        """The users who see a channel: the rule, on what the copy holds."""
        info = self.channels[channel]
        kind, place = ("channel", channel)
        if info.get("sync") and info.get("category"):
            kind, place = "category", info["category"]
        mode = (info if kind == "channel" else self.categories[place]).get("view_mode", "public")
        which = (kind, place, "black" if mode == "public" else "white")
        listed = set(self.listed_users[which]).union(*(self.holders[role] for role in self.listed_roles[which]))
        seen = self.members.keys() - listed if mode == "public" else self.members.keys() & listed
        return {self.members[ordinal] for ordinal in seen} | ({self.owner} if self.owner is not None else set())

    # How it keeps up.

    async def sync(self, views: Views) -> bool:
        """Take what changed since; returns whether there is more to be taken.

        Raises:
            PullError: there is no answer, or it is an error.
        """
        changes = await views.get(f"{self._path}/changes", Event, since=self.version, limit=_PAGE)
        if changes["snapshot"]:
            await self._read_anew(views)
            return True
        for event in changes["changes"]:
            self.apply(event)
        self.version = max(self.version, changes["upto"])
        return bool(changes["more"])

    async def catch_up(self, views: Views) -> None:
        """Take all that changed; what passes is waited for."""
        more = True
        while more:
            try:
                more = await self.sync(views)
            except PullError as error:
                if error.code not in _SOON | _GONE:
                    raise
                await asyncio.sleep(_AGAIN_S)

    def apply(self, event: Event) -> None:
        """Take one event. Those that say nothing of what is kept here change nothing."""
        self.version = max(self.version, event["version"])
        if (take := getattr(self, f"_{event['t']}", None)) is not None:
            take(event)

    # Each event.

    def _group_created(self, event: Event) -> None:
        self._forget()
        self.alive, self.owner = True, event.get("owner")
        self._members_added(event)

    def _group_deleted(self, _: Event) -> None:
        self._forget()
        self.alive = False

    def _owner_changed(self, event: Event) -> None:
        self.owner = event["owner"]

    def _members_added(self, event: Event) -> None:
        self.members.update(zip(event["ordinals"], event["users"], strict=True))

    def _members_removed(self, event: Event) -> None:
        gone = set(event["ordinals"])
        for ordinal in gone:
            self.members.pop(ordinal, None)
            self.profiles.pop(ordinal, None)
        for ordinals in (*self.holders.values(), *self.listed_users.values()):
            ordinals.difference_update(gone)

    def _member_updated(self, event: Event) -> None:
        self.profiles[event["ordinal"]] = event["profile"]

    def _role_created(self, event: Event) -> None:
        self.roles[event["role"]["role"]] = event["role"]

    _role_updated = _role_created

    def _role_deleted(self, event: Event) -> None:
        self.roles.pop(event["role"], None)
        self.holders.pop(event["role"], None)
        for roles in self.listed_roles.values():
            roles.discard(event["role"])

    def _role_members_added(self, event: Event) -> None:
        self.holders[event["role"]].update(event["ordinals"])

    def _role_members_removed(self, event: Event) -> None:
        self.holders[event["role"]].difference_update(event["ordinals"])

    def _channel_created(self, event: Event) -> None:
        self._begin("channel", event["channel"]["channel"], event)
        self._channel_updated(event)

    def _channel_updated(self, event: Event) -> None:
        self.channels[event["channel"]["channel"]] = event["channel"]

    def _channel_deleted(self, event: Event) -> None:
        self.channels.pop(event["channel"], None)
        self._end("channel", event["channel"])

    def _category_created(self, event: Event) -> None:
        self._begin("category", event["category"]["category"], event)
        self._category_updated(event)

    def _category_updated(self, event: Event) -> None:
        self.categories[event["category"]["category"]] = event["category"]

    def _category_deleted(self, event: Event) -> None:
        self.categories.pop(event["category"], None)
        self._end("category", event["category"])
        for channel, info in self.channels.items():
            if info.get("category") == event["category"]:
                kept = {name: said for name, said in info.items() if name not in {"category", "sync"}}
                self.channels[channel] = kept

    def _list_edited(self, event: Event) -> None:
        place = ("channel", event["channel"]) if "channel" in event else ("category", event["category"])
        which = (*place, event["which"])
        if event.get("cleared"):
            self.listed_roles.pop(which, None)
            self.listed_users.pop(which, None)
        self.listed_roles[which] |= set(event.get("added_roles", ()))
        self.listed_roles[which] -= set(event.get("removed_roles", ()))
        self.listed_users[which] |= set(event.get("added_ordinals", ()))
        self.listed_users[which] -= set(event.get("removed_ordinals", ()))

    def _begin(self, kind: str, place: str, event: Event) -> None:
        self._end(kind, place)
        for which in ("black", "white"):
            self.listed_roles[kind, place, which] |= set(event.get(f"{which}_roles", ()))

    def _end(self, kind: str, place: str) -> None:
        for which in ("black", "white"):
            self.listed_roles.pop((kind, place, which), None)
            self.listed_users.pop((kind, place, which), None)

    # A snapshot.

    async def _read_anew(self, views: Views) -> None:
        """Everything, page by page. It may change meanwhile: the changes since the first answer are applied over it."""
        self._forget()
        self.version = 0  # an empty copy, should it not come to its end
        self.snapshots += 1
        try:
            group = await views.get(self._path, Event)
        except PullError as error:
            if error.code != "unknown_group":
                raise
            self.alive = False
            self.version = (await views.get(f"{self._path}/changes", Event, since=2**62))["version"]
            return
        self.alive, self.owner = True, group.get("owner")
        for member in await self._list(views, "/members", "members", part="all"):
            self.members[member["ordinal"]] = member["user"]
            if "profile" in member:
                self.profiles[member["ordinal"]] = member["profile"]
        for held in (await views.get(f"{self._path}/roles", Event))["roles"]:
            role = held["role"]["role"]
            self.roles[role] = held["role"]
            if role != "everyone":
                holders = await self._list(views, f"/roles/{role}/members", "members")
                self.holders[role] = {member["ordinal"] for member in holders}
        for info in (await views.get(f"{self._path}/categories", Event))["categories"]:
            self.categories[info["category"]] = info
            await self._read_lists(views, "category", f"/categories/{info['category']}", info["category"])
        for seen in await self._list(views, "/channels", "channels"):
            channel = seen["channel"]["channel"]
            self.channels[channel] = seen["channel"]
            await self._read_lists(views, "channel", f"/channels/{channel}", channel)
        self.version = group["version"]

    async def _read_lists(self, views: Views, kind: str, path: str, place: str) -> None:
        for which in ("black", "white"):
            of = kind, place, which
            page = await views.get(f"{self._path}{path}/list", Event, list=which, limit=1)
            self.listed_roles[of] = set(page["roles"])
            users = await self._list(views, f"{path}/list", "members", list=which)
            self.listed_users[of] = {member["ordinal"] for member in users}

    async def _list(self, views: Views, path: str, of: str, **query: str | int) -> list[Event]:
        found: list[Event] = []
        query["limit"] = _PAGE
        while True:
            page = await views.get(f"{self._path}{path}", Event, **query)
            found += page[of]
            if "next" not in page:
                return found
            query["cursor"] = page["next"]


async def main(url: str, token: str, app: str, group: str) -> None:
    """Keep a copy, and print what it says after each change."""
    copy, told = Copy(app, group), -1
    async with Views(url, token) as views:
        while True:
            await copy.catch_up(views)
            if copy.version != told:
                told = copy.version
                seen = {channel: len(copy.sees(channel)) for channel in sorted(copy.channels)}
                print(f"version {told}: {len(copy.members)} members, who see {seen}")  # noqa: T201 - what it is for
            await asyncio.sleep(_AGAIN_S)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", default="http://127.0.0.1:18080", help="a worker's views (http://127.0.0.1:18080)")
    parser.add_argument("--token", required=True, help="linkcast token APP cache --role gateway")
    parser.add_argument("app")
    parser.add_argument("group")
    given = parser.parse_args()
    asyncio.run(main(given.views, given.token, given.app, given.group))
