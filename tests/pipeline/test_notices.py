"""Notices to persons on real services: workers of both roles, gateways made with the client library, a view."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from examples.back_end import BackEnd
from linkcast_gateway import Changed, Group, Handler, Link, Notice, PullError, Session
from linkcast_gateway.views import Views
from streams.app import Worker
from streams.settings import Settings
from streams.web.tokens import Claims, Tokens
from tests.services import own_settings

APP = "demo"


class Heard(Handler):
    """Writes down notices and hints."""

    def __init__(self) -> None:
        self.notices: asyncio.Queue[tuple[str, Notice, Sequence[int]]] = asyncio.Queue()
        self.hints: asyncio.Queue[Changed] = asyncio.Queue()
        self.live: asyncio.Queue[int] = asyncio.Queue()

    def on_notice(self, app: str, user: str, notice: Notice, slots: Sequence[int]) -> None:
        assert app == APP
        self.notices.put_nowait((user, notice, slots))

    def on_changed(self, group: Group, changed: Changed, slots: Sequence[int]) -> None:
        assert (group.app, bool(slots)) == (APP, True)
        self.hints.put_nowait(changed)

    def on_live(self, group: Group, slots: Sequence[int], heads: Sequence[tuple[str, int]]) -> None:
        del group, heads
        for slot in slots:
            self.live.put_nowait(slot)


class Whole:
    """A pipeline, a back end, and as many gateways as are asked for."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack

    async def start(self) -> None:
        kafka = self._settings.kafka_bootstrap
        for role in ("users", "groups"):
            worker = Worker(role, self._settings, role)
            self.url = (await self._stack.enter_async_context(worker.running())).views.url
        self.back_end = await self._stack.enter_async_context(BackEnd(kafka, APP))
        token = Tokens.of(self._settings).mint(Claims(APP, "gateway", "a-gateway"), 600)
        self.views = await self._stack.enter_async_context(Views(self.url, token))

    async def gateway(self, name: str) -> tuple[Link, Heard]:
        heard = Heard()
        link = await self._stack.enter_async_context(Link(name, self._settings.kafka_bootstrap, heard))
        await link.registered()
        return link, heard

    async def up(self, link: Link, user: str, device: str) -> Session:
        session = link.new_session(APP, user, device)
        await link.up(session)
        return session

    async def inbox(self, user: str, since: int = 0) -> list[Notice]:
        """The notices of a user, once there are some."""
        while True:
            try:
                if kept := (await self.views.notices(APP, user, since=since)).notices:
                    return kept
            except PullError as error:  # the user's lane may open later than the group's
                if error.code not in {"owner_unknown", "away", "too_slow"}:
                    raise
            await asyncio.sleep(0.1)


@pytest.fixture
async def whole(fresh_topics: Settings, tmp_path: Path) -> AsyncIterator[Whole]:
    async with AsyncExitStack() as stack:
        started = Whole(own_settings(fresh_topics, tmp_path), stack)
        await started.start()
        yield started


async def test_an_invitee_finds_in_the_inbox_what_it_was_told_offline_and_hears_the_rest_online(whole: Whole) -> None:
    async with asyncio.timeout(120):
        command = whole.back_end.command
        await command("create_group", "club", members=["ann"], owner="ann")
        assert (await command("invite", "club", invite="i1", user="eve", by="ann"))["t"] == "applied"
        [invited] = await whole.inbox("eve")
        assert (invited.number, invited.kind, invited.by, invited.subject) == (1, "invited", "ann", "i1")

        await command("create_group", "other", members=["eve"])  # to hear that the session is known
        link, heard = await whole.gateway("L1")
        session = await whole.up(link, "eve", "phone")
        await heard.live.get()
        assert (await command("answer_invite", "club", invite="i1", accept=True, by="eve"))["t"] == "applied"
        user, joined, slots = await heard.notices.get()
        assert (user, joined.number, joined.kind, list(slots)) == ("eve", 2, "joined", [session.slot])
        assert [one.number for one in await whole.inbox("eve", since=1)] == [2]


async def test_who_is_kicked_hears_it_on_all_devices_and_those_who_stay_are_told_to_look(whole: Whole) -> None:
    async with asyncio.timeout(120):
        command = whole.back_end.command
        await command("create_group", "team", members=["amy", "bob"], owner="amy")
        one, heard_one = await whole.gateway("L1")
        two, heard_two = await whole.gateway("L2")
        phone, tablet = await whole.up(one, "bob", "phone"), await whole.up(two, "bob", "tablet")
        stays = await whole.up(two, "amy", "phone")
        assert await heard_one.live.get() == phone.slot
        assert {await heard_two.live.get(), await heard_two.live.get()} == {tablet.slot, stays.slot}
        removed = await command("remove_members", "team", users=["bob"], by="amy")
        for heard, slot in ((heard_one, phone.slot), (heard_two, tablet.slot)):
            notices = {}
            while "bob" not in notices:
                user, notice, slots = await heard.notices.get()
                notices[user] = notice.kind, notice.end, notice.by, list(slots)
            assert notices["bob"] == ("removed", "kicked", "amy", [slot])
        hint = await heard_two.hints.get()
        assert (hint.what, hint.version) == (["members"], removed["version"])
        assert heard_one.hints.empty()
