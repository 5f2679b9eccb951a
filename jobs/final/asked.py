"""The same as the views tell it, computed from the owner's metadata."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from jobs.final.state import GroupId, GroupState
from jobs.problem import Problem
from streams.settings import Settings
from streams.web.tokens import Claims, Tokens

_TOKEN_S: Final = 3_600.0
_ASK_S: Final = 15.0
_AGAIN_S: Final = 1.0  # what `Retry-After` says
_PAGE: Final = "500"
_PROFILE: Final[dict[str, Any]] = {
    "name": "",
    "topic": "",
    "avatar": "",
    "custom": "",
    "searchable": False,
    "weight": 0,
    "join_mode": "invite",
}


class _AwayError(Problem):
    """The views do not answer, or not now: the same may be answered later."""


class ViewReader:
    """Asks the views of any worker, as an admin of each app.

    Args:
        settings: where they are, and what opens them.
        http: what they are asked by.
        wait_s: for so long a question that is not answered now is asked again.
        url: where they are, if it is elsewhere.
    """

    def __init__(self, settings: Settings, http: aiohttp.ClientSession, wait_s: float, url: str | None = None) -> None:
        self._tokens = Tokens.of(settings)
        self._http = http
        self._url = url or f"http://{settings.host}:{settings.view_port}"
        self._patiently = AsyncRetrying(
            retry=retry_if_exception_type(_AwayError),
            stop=stop_after_delay(wait_s),
            wait=wait_fixed(_AGAIN_S),
            reraise=True,
        )

    async def read(self, group: GroupId) -> GroupState | None:
        """All that is told of a group; None if there is none."""
        told = await self._get(group, "")
        if told is None:
            return None
        now_ms = int(time.time() * 1000)
        state = GroupState(told["version"])
        for name, usual in _PROFILE.items():
            state.add("group", name, said=told.get("profile", {}).get(name, usual))
        state.add("group", "kind", said=told["kind"])
        state.add("group", "owner", said=told.get("owner"))
        state.add("group", "muted_until", said=_future(told.get("muted_until", 0), now_ms))
        for one in await self._list(group, "/members", "members", part="all"):
            profile = one.get("profile", {})
            texts = (profile.get("nick", ""), profile.get("avatar", ""), profile.get("custom", ""))
            muted = _future(profile.get("muted_until", 0), now_ms)
            state.add("member", one["ordinal"], said=(one["user"], *texts, profile.get("weight", 0), muted))
        await self._roles(group, state)
        if told["kind"] == "server":
            await self._places(group, state, now_ms)
        await self._requests(group, state)
        state.version = min(state.version, (await self._get(group, "") or told)["version"])
        return state

    async def _roles(self, group: GroupId, state: GroupState) -> None:
        for one in (await self._need(group, "/roles"))["roles"]:
            role = one["role"]
            name = role["role"]
            if name == "everyone" and role == _EVERYONE:
                continue  # nobody changed it: there is no row of it
            allow, deny = sorted(role.get("allow", [])), sorted(role.get("deny", []))
            said = (role.get("name", ""), role.get("priority", 1), allow, deny, role.get("custom", ""))
            state.add("role", name, said=said)
            if name != "everyone":
                for member in await self._list(group, f"/roles/{name}/members", "members"):
                    state.add("holds", name, member["ordinal"])

    async def _places(self, group: GroupId, state: GroupState, now_ms: int) -> None:
        for info in (await self._need(group, "/categories"))["categories"]:
            said = (
                info.get("name", ""),
                info.get("view_mode", "public"),
                info.get("weight", 0),
                info.get("custom", ""),
            )
            state.add("category", info["category"], said=said)
            await self._place(group, state, "category", info["category"])
        for one in await self._list(group, "/channels", "channels"):
            info = one["channel"]
            state.add(
                *("channel", info["channel"]),
                said=(
                    *(info.get("kind", "text"), info.get("name", ""), info.get("topic", ""), info.get("category")),
                    *(bool(info.get("sync") and info.get("category")), info.get("view_mode", "public")),
                    *(info.get("visitor_mode", "hidden"), info.get("weight", 0), info.get("custom", "")),
                    _future(info.get("muted_until", 0), now_ms),
                ),
            )
            await self._place(group, state, "channel", info["channel"])
            for member in await self._list(group, f"/channels/{info['channel']}/members", "members"):
                state.add("channel member", info["channel"], member["ordinal"], said=member["user"])

    async def _place(self, group: GroupId, state: GroupState, kind: str, place: str) -> None:
        path = f"/{'channels' if kind == 'channel' else 'categories'}/{place}"
        for which in ("black", "white"):
            roles = (await self._need(group, f"{path}/list", list=which))["roles"]
            for role in roles:
                state.add("listed role", kind, place, which, role)
            for member in await self._list(group, f"{path}/list", "members", list=which):
                state.add("listed user", kind, place, which, member["ordinal"])
        for one in (await self._need(group, f"{path}/overrides"))["overrides"]:
            holder = ("role", one["role"]) if "role" in one else ("user", one["user"])
            said = (sorted(one.get("allow", [])), sorted(one.get("deny", [])))
            state.add("override", kind, place, *holder, said=said)

    async def _requests(self, group: GroupId, state: GroupState) -> None:
        for one in await self._list(group, "/bans", "bans"):
            state.add("ban", one["user"], said=one.get("until"))
        for kind, path in (("invite", "/invites"), ("application", "/applications")):
            for one in await self._list(group, path, "requests"):
                state.add(kind, one["id"], said=(one["user"], one.get("by"), one["expires_at"]))
        for one in (await self._need(group, "/codes"))["codes"]:
            state.add("code", one["code"], said=(None, one.get("by"), one["expires_at"]))

    async def _list(self, group: GroupId, path: str, of: str, **query: str) -> list[Any]:
        """A list, page by page."""
        found: list[Any] = []
        query["limit"] = _PAGE
        while True:
            page = await self._need(group, path, **query)
            found += page[of]
            if "next" not in page:
                return found
            query["cursor"] = page["next"]

    async def _need(self, group: GroupId, path: str, **query: str) -> Any:
        """What must be there; it may have gone in this moment."""
        told = await self._get(group, path, **query)
        if told is None:
            raise Problem(f"{group}{path} changed while it was read: verify again once nobody writes.")
        return told

    async def _get(self, group: GroupId, path: str, **query: str) -> Any:
        """The answer; None for what does not exist."""
        return await self._patiently(self._ask, group, path, query)

    async def _ask(self, group: GroupId, path: str, query: Mapping[str, str]) -> Any:
        token = self._tokens.mint(Claims(group.app, "admin", "verify"), _TOKEN_S)
        url = f"{self._url}/v1/apps/{group.app}/groups/{group.group}{path}"
        headers, timeout = {"Authorization": f"Bearer {token}"}, aiohttp.ClientTimeout(total=_ASK_S)
        try:
            async with self._http.get(url, params=query, headers=headers, timeout=timeout) as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _AwayError(f"The views do not answer at {self._url}: {error!r}\nIs a worker running?") from error
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        if response.status != HTTPStatus.OK:
            away = response.status == HTTPStatus.SERVICE_UNAVAILABLE
            raise (_AwayError if away else Problem)(f"{url} answers {response.status}: {answer.get('detail')}")
        return answer


_EVERYONE: Final = {"role": "everyone", "priority": 0, "allow": ["send", "invite"]}


def _future(moment: int, now_ms: int) -> int:
    return moment if moment > now_ms else 0
