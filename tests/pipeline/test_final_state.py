"""The final state of a server on real services: once settled it says what the views say, whatever was done before."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from examples.back_end import BackEnd
from jobs.final.judge import Verdict
from jobs.problem import Problem
from jobs.services import Services
from jobs.verify_command import verify_relations
from streams.app import Worker
from streams.settings import Settings
from tests.services import cassandra_of, forget_stored, own_settings, paused

APP = "demo"
PAUSE_S = 8.0  # more than the driver waits for by itself


@pytest.fixture
def settings(fresh_topics: Settings, tmp_path: Path) -> Any:
    own = own_settings(fresh_topics, tmp_path)
    yield own
    forget_stored(own)


@pytest.fixture
def group() -> str:
    return f"town-{uuid4().hex[:8]}"


@asynccontextmanager
async def town(settings: Settings, group: str) -> AsyncIterator[tuple[BackEnd, str]]:
    """A server with everything, and the views of its worker."""
    async with (
        Worker("groups", settings, "groups").running() as groups,
        Worker("sinks", settings, "sinks").running(),
        BackEnd(settings.kafka_bootstrap, APP) as back_end,
    ):
        users = [f"u{n}" for n in range(400)]
        for name, more in (
            ("create_group", {"kind": "server", "members": ["ann", *users], "owner": "ann", "name": "Town"}),
            ("create_role", {"role": "mods", "priority": 9, "allow": ["kick"], "deny": ["ban"]}),
            ("create_role", {"role": "staff", "priority": 3}),
            ("add_role_members", {"role": "mods", "users": users[:5]}),
            ("add_role_members", {"role": "staff", "users": users[:300]}),
            ("create_category", {"category": "desk", "view_mode": "private", "white_roles": ["staff"]}),
            ("create_channel", {"channel": "open", "name": "Open", "topic": "all", "weight": 4}),
            ("create_channel", {"channel": "news", "category": "desk", "sync": True}),
            ("create_channel", {"channel": "mods", "view_mode": "private", "white_roles": ["mods"]}),
            ("edit_list", {"which": "black", "channel": "open", "add_users": users[7:12]}),
            ("edit_list", {"which": "white", "category": "desk", "add_users": users[390:]}),
            ("set_override", {"channel": "open", "role": "mods", "deny": ["send"]}),
            ("set_override", {"category": "desk", "user": "u1", "allow": ["mute"]}),
            ("update_member", {"user": "u2", "nick": "Two", "weight": 3}),
            ("ban_members", {"users": ["u20", "stranger"]}),
            ("invite", {"invite": "i1", "user": "zoe", "text": "come"}),
            ("create_code", {"code": "c1", "uses": 5}),
        ):
            answer = await back_end.command(name, group, **more)
            assert answer["t"] == "applied", (name, answer)
        yield back_end, groups.views.url


async def verdict_of(settings: Settings, group: str, url: str, wait_s: float = 30.0) -> Verdict:
    return await verify_relations(settings, [f"{APP}:{group}"], wait_s, url)


async def test_sinks_that_heard_of_nothing_yet_have_their_tables(settings: Settings) -> None:
    async with asyncio.timeout(120), Worker("sinks", settings, "sinks").running():
        verdict = await verify_relations(settings)
    assert (verdict.groups, verdict.good) == (0, True)


async def test_a_cassandra_that_pauses_is_waited_for(services: Services, settings: Settings) -> None:
    async with asyncio.timeout(120), Worker("sinks", settings, "sinks").running():
        await verify_relations(settings)  # there are tables now
    with paused(services, "cassandra", PAUSE_S):
        assert (await verify_relations(settings)).good


async def test_the_final_state_of_a_server_says_what_the_views_say(settings: Settings, group: str) -> None:
    async with asyncio.timeout(120), town(settings, group) as (back_end, url):
        verdict = await verdict_of(settings, group, url)
        assert (verdict.behind, verdict.differences, verdict.groups) == ([], [], 1)
        assert verdict.things > 1_000
        for name, more in (  # what follows by rule has no event
            ("delete_role", {"role": "staff"}),
            ("create_role", {"role": "staff", "priority": 4}),
            ("remove_members", {"users": ["u0", "u1", "u390"]}),
            ("add_members", {"users": ["u0", "u1", "u390"]}),
            ("delete_category", {"category": "desk"}),
            ("create_category", {"category": "desk"}),
            ("delete_channel", {"channel": "mods"}),
            ("create_channel", {"channel": "mods"}),
        ):
            answer = await back_end.command(name, group, **more)
            assert answer["t"] == "applied", (name, answer)
        verdict = await verdict_of(settings, group, url)
        assert (verdict.behind, verdict.differences) == ([], [])
        await back_end.command("delete_group", group)
        await back_end.command("create_group", group, kind="server", members=["u1", "bob"], owner="bob")
        verdict = await verdict_of(settings, group, url)
        assert (verdict.behind, verdict.differences, verdict.groups) == ([], [], 1)


async def test_whoever_verifies_before_the_sinks_ever_ran_waits_for_their_tables(
    settings: Settings, group: str
) -> None:
    async with (
        asyncio.timeout(120),
        Worker("groups", settings, "groups").running() as groups,
        BackEnd(settings.kafka_bootstrap, APP) as back_end,
    ):
        answer = await back_end.command("create_group", group, kind="server", members=["ann"], owner="ann")
        assert answer["t"] == "applied"
        with pytest.raises(Problem, match=r"lacks tables: .*groups.*\n.*did the sinks run"):
            await verdict_of(settings, group, groups.views.url, 1.0)
        early = asyncio.create_task(verdict_of(settings, group, groups.views.url, 90.0))
        await asyncio.sleep(1.0)  # it waits by now
        async with Worker("sinks", settings, "sinks").running():
            verdict = await early
        assert (verdict.behind, verdict.differences, verdict.groups) == ([], [], 1)


async def test_after_a_burst_of_changes_nothing_differs(settings: Settings, group: str) -> None:
    dice = random.Random(7)
    users = [f"u{n}" for n in range(400)]
    async with asyncio.timeout(180), town(settings, group) as (back_end, url):

        async def change() -> None:
            some = dice.sample(users, dice.randint(1, 60))
            place: dict[str, Any] = dice.choice([{"channel": "open"}, {"channel": "mods"}, {"category": "desk"}])
            role = dice.choice(["mods", "staff", "new"])
            commands: list[tuple[str, dict[str, Any]]] = [
                ("add_members", {"users": some}),
                ("remove_members", {"users": some}),
                ("add_role_members", {"role": role, "users": some}),
                ("remove_role_members", {"role": role, "users": some}),
                ("create_role", {"role": role, "priority": 2}),
                ("delete_role", {"role": role}),
                ("edit_list", {"which": "black", **place, "add_users": some, "add_roles": [role]}),
                ("edit_list", {"which": "white", **place, "remove_users": some, "clear": dice.random() < 0.2}),
                ("set_override", {**place, "role": role, "allow": ["send"]}),
                ("set_override", {**place, "user": some[0], "deny": ["send"]}),
                ("update_member", {"user": some[0], "nick": f"n{dice.randint(0, 9)}"}),
                ("update_channel", {"channel": "open", "view_mode": dice.choice(["public", "private"])}),
                ("update_channel", {"channel": "mods", "category": dice.choice([None, "desk"]), "sync": True}),
                ("ban_members", {"users": some[:2]}),
                ("unban_members", {"users": some[:2]}),
                ("mute", {"users": some[:2], "until": 4_000_000_000_000}),
                ("delete_channel", {"channel": "mods"}),
                ("create_channel", {"channel": "mods", "white_roles": ["mods"]}),
                ("delete_category", {"category": "desk"}),
                ("create_category", {"category": "desk", "view_mode": dice.choice(["public", "private"])}),
            ]
            name, more = dice.choice(commands)
            await back_end.command(name, group, **more)  # some are refused, and change nothing

        for _ in range(15):
            await asyncio.gather(*(change() for _ in range(20)))
        verdict = await verdict_of(settings, group, url)
        assert (verdict.behind, verdict.differences) == ([], [])


async def test_a_row_damaged_by_hand_is_found(settings: Settings, group: str) -> None:
    async with asyncio.timeout(120), town(settings, group) as (_, url):
        assert (await verdict_of(settings, group, url)).good
        at = f"app = '{APP}' AND group_id = '{group}'"
        with cassandra_of(settings) as session:
            session.set_keyspace(settings.keyspace)
            session.execute(f"DELETE FROM role_members WHERE {at} AND role = 'mods' AND bucket = 0 AND ordinal = 3")
            session.execute(f"UPDATE members SET nick = 'x' WHERE {at} AND bucket = 0 AND ordinal = 9")
            session.execute(f"DELETE FROM channel_members WHERE {at} AND channel = 'mods' AND ordinal = 1")
        verdict = await verdict_of(settings, group, url, 0.0)
        assert sorted(one.thing for one in verdict.differences) == [
            *(("channel member", "mods", "1"), ("holds", "mods", "3"), ("member", "9"))
        ]
        assert not verdict.good
