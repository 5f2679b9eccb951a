"""The example of a back end, against a real groups worker: it gets an answer to all, also when it has to ask twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from examples.back_end import BackEnd, server
from streams.app import Worker
from streams.settings import Settings
from tests.services import own_settings

APP = "demo"


@pytest.fixture
def settings(fresh_topics: Settings, tmp_path: Path) -> Settings:
    return own_settings(fresh_topics, tmp_path)


@asynccontextmanager
async def asking(settings: Settings) -> AsyncIterator[BackEnd]:
    async with Worker("groups", settings, "groups").running(), BackEnd(settings.kafka_bootstrap, APP) as back_end:
        yield back_end


async def test_commands_and_sends_are_answered_or_refused_with_a_code(settings: Settings) -> None:
    async with asyncio.timeout(60), asking(settings) as back_end:
        created = await back_end.command("create_group", "orders", members=["shop", "ann"])
        assert (created["t"], created["changed"]) == ("applied", 2)
        added = await back_end.command("add_members", "orders", users=["bob"])
        assert (added["t"], added["version"]) == ("applied", 2)
        accepted = await back_end.send("orders", "shop", {"text": "on its way"})
        assert (accepted["t"], accepted["seq"]) == ("accepted", 1)
        refused = await back_end.send("orders", "eve", {"text": "me too"})
        assert (refused["t"], refused["code"]) == ("refused", "not_a_member")


async def test_many_may_wait_at_once_and_each_gets_its_own_answer(settings: Settings) -> None:
    async with asyncio.timeout(60), asking(settings) as back_end:
        await back_end.command("create_group", "busy", members=["shop"])
        answers = await asyncio.gather(*(back_end.send("busy", "shop", number) for number in range(50)))
        assert sorted(answer["seq"] for answer in answers) == list(range(1, 51))


async def test_what_was_asked_before_anybody_could_answer_is_answered_later_and_done_once(settings: Settings) -> None:
    async with asyncio.timeout(90), BackEnd(settings.kafka_bootstrap, APP) as back_end:
        early = asyncio.create_task(back_end.command("create_group", "early", members=["ann"]))
        await asyncio.sleep(6)  # longer than it waits before it asks again
        assert not early.done()
        async with Worker("groups", settings, "groups").running():
            assert (await early)["t"] == "applied"
            assert (await back_end.send("early", "ann", "hello"))["seq"] == 1


async def test_a_server_is_made_and_changed_without_a_session(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with asyncio.timeout(60), asking(settings) as back_end:
        await server(back_end)
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"t"')]
    assert [answer.get("code", answer.get("changed")) for answer in answers] == [
        *(2, 1, 1, 1, "not_permitted", 1, "banned"),
        *(10_000, 10_000, 5_000),
        25_002,
    ]
    versions = [answer["version"] for answer in answers if answer["t"] == "applied"]
    assert versions == sorted(versions)
