"""A demo's scenario: the same for the same seed, in order of time, and only what can be done is planned."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import msgspec
import pytest

from jobs.demo.hall import HALL, Command
from jobs.demo.pool import Pool
from jobs.demo.scenario import (
    DOOMED,
    LINKS,
    TEAM,
    TOWN,
    Action,
    Come,
    Go,
    Join,
    KillWorker,
    Part,
    RestartLink,
    Say,
    SayAgain,
    SilenceLink,
    Size,
    write,
)
from topics import catalog, limits
from topics.codec import decode

SMALL = Size(seconds=20, users=500, groups=10, rate=100)


def _of(kind: type[Action], actions: list[tuple[int, Action]]) -> list[tuple[int, Action]]:
    return [(at, action) for at, action in actions if isinstance(action, kind)]


def test_a_seed_gives_the_same_every_time_and_another_seed_another() -> None:
    assert write(1, SMALL) == write(1, SMALL)
    assert write(1, SMALL).actions != write(2, SMALL).actions


def test_actions_are_in_the_order_of_time() -> None:
    times = [at for at, _ in write(1, SMALL).actions]
    assert times == sorted(times)


def test_the_team_and_the_groups_have_the_size_that_was_asked_for() -> None:
    scenario = write(1, Size(seconds=10))
    assert len(scenario.groups[TEAM]) == 10_000
    assert len(scenario.groups) == 201
    assert all(20 <= len(members) <= 100 for group, members in scenario.groups.items() if group != TEAM)
    assert len(scenario.first) == 3_000
    assert {come.link for come in scenario.first} == set(LINKS)


@pytest.mark.parametrize("rate", [20, 100])
def test_messages_come_at_the_rate_that_was_asked_for(rate: float) -> None:
    scenario = write(1, Size(seconds=20, users=500, groups=10, rate=rate, burst_rate=0))
    said = [say for _, say in scenario.actions if isinstance(say, Say) and say.group != HALL]
    assert len(said) == pytest.approx(rate * 20, rel=0.05)
    assert len({say.client_id for say in said}) == len(said)


def test_a_resend_comes_after_its_send() -> None:
    first: dict[str, int] = {}
    again = 0
    for at, (when, action) in enumerate(write(1, SMALL).actions):
        del when
        if isinstance(action, Say):
            first[action.client_id] = at
        elif isinstance(action, SayAgain):
            again += 1
            assert first[action.client_id] < at
    assert again > 20


def test_who_comes_was_away_and_who_goes_was_there() -> None:
    scenario = write(3, SMALL)
    online = {come.user for come in scenario.first}
    for _, action in sorted(_of(Come, scenario.actions) + _of(Go, scenario.actions), key=lambda one: one[0]):
        if isinstance(action, Come):
            online.add(action.user)
        elif isinstance(action, Go):
            online.discard(action.user)
    assert len(_of(Come, scenario.actions)) > 50
    assert len(_of(Go, scenario.actions)) > 50
    assert len(online) == len(scenario.first), "for each who goes one comes"


def test_members_join_and_part() -> None:
    scenario = write(1, SMALL)
    assert len(_of(Join, scenario.actions)) > 20
    assert len(_of(Part, scenario.actions)) > 20
    changed = [action.group for _, action in scenario.actions if isinstance(action, Join | Part)]
    assert TEAM in changed
    assert set(changed) > {TEAM}


def test_a_worker_is_killed_and_a_link_falls_silent_for_longer_than_its_time_out() -> None:
    actions = write(1, Size(seconds=60)).actions
    [(killed, _)] = _of(KillWorker, actions)
    [(silent, silence)] = _of(SilenceLink, actions)
    [(back, restart)] = _of(RestartLink, actions)
    assert killed < silent < back < 60_000
    assert silence == SilenceLink(DOOMED)
    assert restart == RestartLink(DOOMED)
    assert back - silent > 10_000


def test_the_very_large_group_is_imported_in_lots_and_written_to_by_those_online() -> None:
    scenario = write(1, Size(seconds=20, users=500, groups=10, rate=100, town=12_345, town_seconds=2, town_rate=25))
    members = [user for lot in scenario.town for user in lot]
    assert len(members) == len(set(members)) == 12_345
    assert all(0 < len(lot) <= limits.LOT_USERS for lot in scenario.town)
    assert {come.user for come in scenario.first} <= set(members)
    assert [at for at, _ in scenario.said] == [40 * number for number in range(50)]
    assert len({say.client_id for _, say in scenario.said}) == 50
    assert {say.group for _, say in scenario.said} == {TOWN}
    coming = {come.user for come in scenario.first} | {
        come.user for _, come in _of(Come, scenario.actions) if isinstance(come, Come)
    }
    assert {say.user for _, say in scenario.said} <= coming


def test_without_the_very_large_group_all_else_is_the_same() -> None:
    assert (write(1, SMALL).town, write(1, SMALL).said) == ([], [])
    assert write(1, replace(SMALL, town=1_000)).actions == write(1, SMALL).actions


def test_the_server_is_made_by_commands_of_the_contract() -> None:
    scenario = write(1, SMALL)
    assert [one.what for one in scenario.hall[:3]] == ["create_group", "create_role", "add_role_members"]
    assert len(dict(scenario.hall[0].fields)["members"]) == SMALL.users, "no more than there are"
    private = [one for one in scenario.hall if dict(one.fields).get("view_mode") == "private"]
    assert all(dict(one.fields)["white_roles"] for one in private)
    for command in [*scenario.hall, *(one for _, one in scenario.actions if isinstance(one, Command))]:
        more = {} if command.lasts_ms is None else {"until": 1}
        record = {"t": command.what, "app": "demo", "group": HALL, **dict(command.fields), **more}
        decode(catalog.RELATIONS.name, msgspec.json.encode(record))


def test_the_server_changes_while_messages_flow_in_its_channels() -> None:
    scenario = write(1, Size(seconds=60))
    commands = [one for _, one in scenario.actions if isinstance(one, Command)]
    assert len(commands) == pytest.approx(4 * 60, rel=0.05)
    kinds = {command.what for command in commands}
    assert kinds >= {"add_role_members", "remove_role_members", "edit_list", "ban_members", "unban_members", "mute"}
    assert any("by" in dict(command.fields) for command in commands), "some are asked for by members"
    channels = {say.channel for _, say in scenario.actions if isinstance(say, Say) and say.group == HALL}
    assert channels >= {"news", "staff", "council", "vault", "garden", "east", "west"}


def test_without_the_server_all_else_is_the_same() -> None:
    without = write(1, replace(SMALL, hall=0))
    assert not without.hall
    others = [
        (at, one)
        for at, one in write(1, SMALL).actions
        if not isinstance(one, Command) and getattr(one, "group", "") != HALL and not _again_in_hall(one)
    ]
    assert others == without.actions


def _again_in_hall(action: Action) -> bool:
    return isinstance(action, SayAgain) and action.client_id.startswith("h")


def test_a_pool_is_a_set_to_draw_from() -> None:
    pool, random = Pool("abc"), Random(0)
    pool.add("c")
    pool.discard("a")
    pool.discard("z")
    assert sorted(pool) == ["b", "c"]
    assert len(pool) == 2
    assert "b" in pool
    assert "a" not in pool
    assert {pool.draw(random) for _ in range(50)} == {"b", "c"}
