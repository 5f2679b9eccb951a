"""A client that pulls pages while things are broken: each is whole, or refused; and none was ever wrong."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any, Final, Self

import aiohttp

from streams.web.tokens import Claims, Tokens
from tests.faults.stage import Stage

_LIMIT: Final = 50
#: A busy owner is not sure that it is one; and all that is asked one after the other while a store is away takes long.
_LATER: Final = {"not_stored_yet", "owner_unknown", "too_slow"}
_TRIES: Final = 20
_ASKED: Final = "users"  # a worker that owns no group


class Pulls:
    """Pulls the pages of one app.

    Attributes:
        answers: how often which was answered: "ok", or the code of a refusal.
    """

    def __init__(self, stage: Stage, app: str) -> None:
        self.answers: Counter[str] = Counter()
        self._app = app
        self._stage = stage
        self._seen: dict[tuple[str, int], Any] = {}
        self._token = Tokens.of(stage.settings).mint(Claims(app, "gateway", "test"), 3_600)

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(headers={"Authorization": f"Bearer {self._token}"})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def pull(self, group: str) -> None:
        """The newest page, one in the middle and the first one."""
        newest = await self._page(group)
        if newest is None:
            return
        head: int = newest["head"]
        assert seqs(newest) == list(range(max(1, head - _LIMIT + 1), head + 1))
        if head == 0:
            return
        middle = await self._page(group, after=head // 2)
        assert middle is None or seqs(middle)[:1] == [head // 2 + 1]
        before = head // 2 + 2
        first = await self._page(group, before=before)
        assert first is None or seqs(first)[-1:] == [before - 1]

    async def compare(self) -> None:
        """All pages that were ever shown are what is shown now, from the first message to the last."""
        for group, seen in itertools.groupby(sorted(self._seen), key=lambda place: place[0]):
            last = max(seq for _, seq in seen)
            after = 0
            while after < last:
                for _ in range(_TRIES):
                    page = await self._page(group, after=after)
                    if page is not None:
                        break
                    await asyncio.sleep(0.5)
                assert page is not None, f"{group} after {after}"
                assert seqs(page)[0] == after + 1
                after = seqs(page)[-1]

    def check(self, least: int) -> None:
        """So many pages were shown, and every other one was refused for now."""
        told = f"{dict(self.answers)}; following: {self._stage.health(_ASKED).get('following')}"
        assert self.answers["ok"] > least, f"{told}\n{self._stage.last_words()}"
        assert self.answers.keys() <= {"ok", *_LATER}, told

    async def _page(self, group: str, **window: int) -> Any:
        """A page without holes, or None if it is refused for now."""
        path = f"{self._stage.url(_ASKED)}/v1/apps/{self._app}/groups/{group}/channels/main/messages"
        async with self._http.get(path, params={"limit": _LIMIT, **window}) as answer:
            page = await answer.json()
        self.answers["ok" if answer.status == 200 else page["code"]] += 1
        if answer.status != 200:
            assert page["code"] in _LATER, page
            return None
        shown = seqs(page)
        assert shown == list(range(shown[0], shown[0] + len(shown))) if shown else True, f"{group} {window}: {shown}"
        for message in page["messages"]:
            before = self._seen.setdefault((group, message["s"]), message)
            assert before == message, f"{group} {window}: {before} was shown, and now {message}"
        return page


def seqs(page: Any) -> list[int]:
    """Which messages a page holds."""
    return [message["s"] for message in page["messages"]]
