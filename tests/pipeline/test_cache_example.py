"""The example of a service's copy, against real workers: after any changes it says what the views say."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from examples.back_end import BackEnd
from examples.cache import Copy
from linkcast_gateway.views import Views
from streams.app import Worker
from streams.settings import Settings
from streams.web.tokens import Claims, Tokens
from tests.services import forget_stored, own_settings
from topics import limits

APP = "demo"
USERS = [f"u{n}" for n in range(60)]


@pytest.fixture
def settings(fresh_topics: Settings, tmp_path: Path) -> Any:
    own = own_settings(fresh_topics, tmp_path)
    yield own
    forget_stored(own)


def commands(dice: random.Random) -> list[tuple[str, dict[str, Any]]]:
    """Some of everything that decides who sees what."""
    some = dice.sample(USERS, dice.randint(1, 20))
    place: dict[str, Any] = dice.choice([{"channel": "open"}, {"channel": "back"}, {"category": "desk"}])
    role, mode = dice.choice(["mods", "staff"]), dice.choice(["public", "private"])
    which = dice.choice(["black", "white"])
    return [
        ("add_members", {"users": some}),
        ("remove_members", {"users": some}),
        ("create_role", {"role": role}),
        ("delete_role", {"role": role}),
        ("add_role_members", {"role": role, "users": some}),
        ("remove_role_members", {"role": role, "users": some}),
        ("create_channel", {"channel": "back", "view_mode": mode, "white_roles": [role]}),
        ("update_channel", {"channel": "back", "category": dice.choice([None, "desk"]), "sync": True}),
        ("update_channel", {"channel": "open", "view_mode": mode}),
        ("delete_channel", {"channel": "back"}),
        ("create_category", {"category": "desk", "view_mode": mode, "black_roles": [role]}),
        ("delete_category", {"category": "desk"}),
        ("edit_list", {"which": which, **place, "add_users": some, "add_roles": [role]}),
        ("edit_list", {"which": which, **place, "remove_users": some, "clear": dice.random() < 0.3}),
        ("update_member", {"user": some[0], "nick": f"n{dice.randint(0, 5)}"}),
        ("ban_members", {"users": some[:1]}),
    ]


async def same(copy: Copy, views: Views, group: str) -> None:
    """The copy says what the views say: members, profiles, holders of roles, who sees each channel."""
    told = await views.members(APP, group, limit=500)
    assert copy.members == {member.ordinal: member.user for member in told.members}
    for held in await views.roles(APP, group):
        if held.role.role != "everyone":
            holders = await views.members(APP, group, role=held.role.role, limit=500)
            assert {copy.members[at] for at in copy.holders[held.role.role]} == {one.user for one in holders.members}
    answer = await views.get(f"/v1/apps/{APP}/groups/{group}/channels", dict[str, Any])
    channels = [one["channel"]["channel"] for one in answer["channels"]]
    assert sorted(copy.channels) == channels
    for channel in channels:
        seen = await views.members(APP, group, channel=channel, limit=500)
        assert copy.sees(channel) == {one.user for one in seen.members}, channel
    profiles = await views.get(f"/v1/apps/{APP}/groups/{group}/members", dict[str, Any], part="all", limit=500)
    nicks = {one["ordinal"]: one["profile"]["nick"] for one in profiles["members"] if "profile" in one}
    assert {at: profile["nick"] for at, profile in copy.profiles.items() if profile.get("nick")} == nicks


async def test_a_copy_kept_by_changes_and_snapshots_says_what_the_views_say(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice, group = random.Random(3), f"town-{uuid4().hex[:8]}"
    token = Tokens.of(settings).mint(Claims(APP, "gateway", "cache"), 600)
    async with (
        asyncio.timeout(180),
        Worker("groups", settings, "groups").running() as worker,
        Worker("sinks", settings, "sinks").running(),
        BackEnd(settings.kafka_bootstrap, APP) as back_end,
        Views(worker.views.url, token) as views,
    ):

        async def change(count: int) -> None:
            for _ in range(count):
                name, more = dice.choice(commands(dice))
                await back_end.command(name, group, **more)  # some are refused, and change nothing

        await back_end.command("create_group", group, kind="server", members=["ann", *USERS], owner="ann")
        await back_end.command("create_channel", group, channel="open")
        copy, late = Copy(APP, group), Copy(APP, group)
        for _ in range(4):
            await change(25)
            await copy.catch_up(views)
            await same(copy, views, group)
        assert copy.snapshots == 0

        monkeypatch.setattr(limits, "CHANGES_BEHIND", 5)
        await change(10)
        await asyncio.gather(change(20), late.catch_up(views))  # it is read while it changes
        await late.catch_up(views)
        await same(late, views, group)
        assert late.snapshots > 0

        monkeypatch.setattr(limits, "CHANGES_BEHIND", 10_000)
        await back_end.command("delete_group", group)
        await copy.catch_up(views)
        assert (copy.alive, copy.members) == (False, {})
        await back_end.command("create_group", group, kind="server", members=["u1"])
        await copy.catch_up(views)
        await same(copy, views, group)


async def test_what_left_memory_is_told_from_the_final_state(settings: Settings) -> None:
    group = f"town-{uuid4().hex[:8]}"
    token = Tokens.of(settings).mint(Claims(APP, "gateway", "cache"), 600)
    async with asyncio.timeout(120), Worker("sinks", settings, "sinks").running():
        async with (
            Worker("groups", settings, "groups").running(),
            BackEnd(settings.kafka_bootstrap, APP) as back_end,
        ):
            await back_end.command("create_group", group, kind="server", members=USERS)
            for user in USERS[:30]:
                await back_end.command("remove_members", group, users=[user])
        async with (
            Worker("groups", settings, "groups").running() as worker,
            Views(worker.views.url, token) as views,
        ):
            copy = Copy(APP, group)
            await copy.catch_up(views)
            assert (copy.version, copy.snapshots) == (31, 0)
            await same(copy, views, group)
