"""What the views tell of relations: by the rule, exact at once, to those who may see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from streams.web.views import VIEWS
from tests.cores import add, bind, create, delete, remove
from tests.views import APP, TOKENS, Cores, Nothing, Views, path_of
from topics import catalog, limits, relations
from topics.bindings import BindingLot, Listen
from topics.entities import PERMISSIONS
from topics.subscriptions import Level, Wanted

NAMES = [f"u{n}" for n in range(8)]


def of(view: str, **names: str) -> str:
    return path_of(VIEWS[view], **({"group": "town"} | names))


@pytest_asyncio.fixture
async def views() -> AsyncIterator[Views]:
    """A server of ann's: u0, u1, u2 are mods; `open` for all but u3, `staff` for mods and u4, `news` follows `desk`."""
    cores = Cores()
    cores.groups.apply(create("ann", *NAMES, group="town", kind="server", owner="ann"))
    cores.groups.apply(
        *do(
            relations.CreateRole(APP, "town", "mods", priority=5, allow=["manage_channels", "ban", "approve"]),
            relations.AddRoleMembers(APP, "town", "mods", NAMES[:3]),
            relations.CreateCategory(APP, "town", "desk", view_mode="private", white_roles=["mods"]),
            relations.CreateChannel(APP, "town", "open", name="Open", weight=3),
            relations.CreateChannel(APP, "town", "staff", view_mode="private", white_roles=["mods"]),
            relations.CreateChannel(APP, "town", "news", category="desk", sync=True, visitor_mode="visible"),
            relations.EditList(APP, "town", "black", channel="open", add_users=["u3"]),
            relations.EditList(APP, "town", "white", channel="staff", add_users=["u4"]),
            relations.SetOverride(APP, "town", channel="open", role="mods", deny=["send"]),
            relations.SetOverride(APP, "town", channel="open", user="u1", allow=["send"]),
        )
    )
    async with Views(TOKENS, cores) as views:
        yield views


def do(*commands: Any) -> list[tuple[Any, Any]]:
    return [(catalog.RELATIONS, command) for command in commands]


def apply(views: Views, *commands: Any) -> None:
    assert views.cores is not None
    views.cores.groups.apply(*do(*commands))


async def told(views: Views, path: str, query: str = "", **who: Any) -> Any:
    status, answer = await views.get(path, query, **who)
    assert status == 200, answer
    return answer


async def users(views: Views, path: str, query: str = "limit=2", **who: Any) -> list[str]:
    """A list of members, page by page."""
    found: list[str] = []
    cursor = ""
    for _ in range(50):
        page = await told(views, path, query + cursor, **who)
        assert page["count"] >= len(found)
        found += [one["user"] for one in page["members"]]
        if "next" not in page:
            assert len(found) == page["count"]
            return found
        cursor = f"&cursor={page['next']}"
    raise AssertionError("the pages never end")


async def test_a_channels_members_are_those_who_see_it(views: Views) -> None:
    assert await users(views, of("channel_members", channel="open")) == ["ann", *NAMES[:3], *NAMES[4:]]
    assert await users(views, of("channel_members", channel="staff")) == ["ann", *NAMES[:3], "u4"]
    assert await users(views, of("channel_members", channel="news")) == ["ann", *NAMES[:3]]
    apply(views, relations.UpdateCategory(APP, "town", "desk", view_mode="public"))
    assert await users(views, of("channel_members", channel="news")) == ["ann", *NAMES]
    assert await users(views, of("channel_members", channel="open"), "limit=2&role=mods") == NAMES[:3]
    team = path_of(VIEWS["channel_members"], group="g", channel="main")
    assert await users(views, team) == ["ann", "bob"]


async def test_members_are_those_of_a_role_in_the_order_of_joining(views: Views) -> None:
    assert await users(views, of("role_members", role="mods")) == NAMES[:3]
    assert await users(views, of("members"), "limit=1&role=mods") == NAMES[:3]
    status, problem = await views.get(of("role_members", role="made-up"))
    assert (status, problem["code"]) == (404, "unknown_role")


async def test_members_are_sorted_by_weight_the_heaviest_first(views: Views) -> None:
    weights = {"u5": 7, "u1": 7, "u2": -3, "u6": 9}
    apply(views, *(relations.UpdateMember(APP, "town", user, weight=weight) for user, weight in weights.items()))
    apply(views, relations.UpdateMember(APP, "town", "u0", nick="Zero"))
    expected = ["u6", "u1", "u5", "ann", "u0", "u3", "u4", "u7", "u2"]
    for limit in (1, 2, 3, 100):
        assert await users(views, of("members"), f"limit={limit}&order=weight") == expected
    assert await users(views, of("channel_members", channel="staff"), "limit=1&order=weight") == [
        *("u1", "ann", "u0", "u4", "u2")
    ]


async def test_too_many_profiles_are_not_sorted(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WEIGHT_PROFILES", 1)
    apply(views, *(relations.UpdateMember(APP, "town", user, nick="x") for user in NAMES[:2]))
    status, problem = await views.get(of("members"), "order=weight")
    assert (status, problem["code"]) == (400, "too_many_to_sort")


async def test_profiles_are_told_when_asked_for(views: Views) -> None:
    apply(views, relations.UpdateMember(APP, "town", "u0", nick="Zero"))
    hot = await told(views, of("members"), "limit=2")
    assert hot["members"] == [{"ordinal": 0, "user": "ann"}, {"ordinal": 1, "user": "u0"}]
    whole = await told(views, of("members"), "limit=2&part=all")
    at = whole["members"][1].pop("joined_at")
    assert at > 0
    assert whole["members"][1]["profile"] == {"nick": "Zero"}


async def test_a_member_is_told_with_its_roles_and_what_it_may_do(views: Views) -> None:
    mod = await told(views, of("member", member="u0"), sub="u7")
    assert (mod["ordinal"], mod["owner"], mod["roles"]) == (1, False, ["mods"])
    assert mod["permissions"] == ["send", "manage_channels", "invite", "approve", "ban"]
    owner = await told(views, of("member", member="ann"))
    assert (owner["owner"], owner["permissions"]) == (True, list(PERMISSIONS))
    status, problem = await views.get(of("member", member="bob"))
    assert (status, problem["code"]) == (404, "unknown_member")


async def channels(views: Views, query: str = "", **who: Any) -> dict[str, Any]:
    answer = await told(views, of("channels"), query, **who)
    return {one["channel"]["channel"]: one for one in answer["channels"]}


async def test_a_user_is_told_the_channels_that_it_sees_and_what_it_may_do_there(views: Views) -> None:
    for user, seen in (("u3", set()), ("u4", {"open", "staff"}), ("u0", {"open", "staff", "news"}), ("u7", {"open"})):
        assert set(await channels(views, sub=user)) == seen
        assert set(await channels(views, f"user={user}", role="gateway", sub="x")) == seen
    mod = await channels(views, sub="u0")
    assert mod["open"]["permissions"] == ["manage_channels", "invite", "approve", "ban"]
    assert "send" in mod["staff"]["permissions"]
    assert "send" in (await channels(views, sub="u1"))["open"]["permissions"]
    assert mod["open"]["channel"] == {"channel": "open", "name": "Open", "weight": 3}
    assert (mod["open"]["head"], mod["open"]["first"]) == (0, 0)


async def test_all_channels_are_for_the_apps_operators_and_visitors_see_what_is_visible(views: Views) -> None:
    everything = await channels(views, role="admin", sub="x")
    assert set(everything) == {"news", "open", "staff"}
    assert "permissions" not in everything["open"]
    assert set(await channels(views, "user=stranger", role="gateway", sub="x")) == {"news"}
    assert set(await channels(views, "user=u0", sub="u7")) == {"open"}  # a user asks about itself


async def test_channels_are_paged(views: Views) -> None:
    page = await told(views, of("channels"), "limit=2")
    assert [one["channel"]["channel"] for one in page["channels"]] == ["news", "open"]
    rest = await told(views, of("channels"), f"limit=2&cursor={page['next']}")
    assert ([one["channel"]["channel"] for one in rest["channels"]], "next" in rest) == (["staff"], False)


async def test_a_team_has_its_implicit_channel_only(views: Views) -> None:
    page = await told(views, path_of(VIEWS["channels"], group="g"))
    (main,) = page["channels"]
    assert (main["channel"], main["head"], main["permissions"]) == ({"channel": "main"}, 1, ["send", "invite"])


async def test_categories_are_told_to_those_who_see_them_or_a_channel_in_them(views: Views) -> None:
    for user, seen in (("u0", ["desk"]), ("u7", []), ("ann", ["desk"])):
        answer = await told(views, of("categories"), sub=user)
        assert [one["category"] for one in answer["categories"]] == seen


async def test_roles_are_told_the_highest_first_with_their_counts(views: Views) -> None:
    apply(views, relations.CreateRole(APP, "town", "chiefs", priority=9))
    answer = await told(views, of("roles"), sub="u7")
    assert [(one["role"]["role"], one["members"]) for one in answer["roles"]] == [
        *(("chiefs", 0), ("mods", 3), ("everyone", 9))
    ]


async def test_lists_and_overrides_are_for_holders_of_manage_channels(views: Views) -> None:
    black = await told(views, of("channel_list", channel="open"), "list=black", sub="u0")
    assert (black["active"], black["roles"], black["count"]) == (True, [], 1)
    assert [one["user"] for one in black["members"]] == ["u3"]
    white = await told(views, of("category_list", category="desk"), sub="u0")
    assert (white["active"], white["roles"], white["count"]) == (True, ["mods"], 0)
    overrides = await told(views, of("channel_overrides", channel="open"), role="gateway", sub="x")
    assert overrides["overrides"] == [{"role": "mods", "deny": ["send"]}, {"user": "u1", "allow": ["send"]}]
    assert (await told(views, of("category_overrides", category="desk")))["overrides"] == []
    for view in ("channel_list", "channel_overrides"):
        status, problem = await views.get(of(view, channel="open"), sub="u7")
        assert (status, problem["code"]) == (403, "not_permitted")
        status, problem = await views.get(of(view, channel="staff"), sub="u7")
        assert (status, problem["code"]) == (404, "unknown_channel")
    status, problem = await views.get(of("category_list", category="made-up"))
    assert (status, problem["code"]) == (404, "unknown_category")


@pytest.mark.parametrize("view", ["channel_members", "access", "channel_list", "channel_overrides"])
async def test_a_channel_that_one_does_not_see_looks_like_one_that_does_not_exist(views: Views, view: str) -> None:
    unknown = await views.get(of(view, channel="made-up"), sub="u7")
    assert (unknown[0], unknown[1]["code"]) == (404, "unknown_channel")
    assert await views.get(of(view, channel="staff"), sub="u7") == unknown


async def test_it_is_told_which_words_of_the_rule_decide_who_sees_a_channel(views: Views) -> None:
    for channel, user, sees, words, roles in (
        ("open", "u7", True, ["public"], []),
        ("open", "u3", False, ["black_user"], []),
        ("staff", "u0", True, ["white_role"], ["mods"]),
        ("staff", "u4", True, ["white_user"], []),
        ("staff", "u7", False, ["not_on_white_list"], []),
        ("staff", "ann", True, ["owner", "not_on_white_list"], []),
        ("news", "stranger", True, ["visitors_see"], []),
        ("open", "stranger", False, ["visitors_do_not"], []),
    ):
        answer = await told(views, of("access", channel=channel), f"user={user}", role="gateway", sub="x")
        assert (answer["sees"], answer["words"], answer.get("roles", [])) == (sees, words, roles), (channel, user)
        assert answer["member"] is (user != "stranger")
    news = await told(views, of("access", channel="news"), sub="u0")
    assert (news["view_mode"], news["follows"], news["user"]) == ("private", "desk", "u0")


async def test_it_is_told_what_decides_each_permission(views: Views) -> None:
    async def send(user: str, channel: str) -> Any:
        answer = await told(views, of("access", channel=channel), f"user={user}", role="gateway", sub="x")
        assert [one["permission"] for one in answer["permissions"]] == list(PERMISSIONS)
        return next(one for one in answer["permissions"] if one["permission"] == "send")

    denied = {"permission": "send", "may": False, "by": "roles", "channel": "open", "roles": ["mods"]}
    assert await send("u0", "open") == denied
    assert await send("u1", "open") == {"permission": "send", "may": True, "by": "member", "channel": "open"}
    assert await send("u0", "staff") == {"permission": "send", "may": True, "by": "roles", "roles": ["everyone"]}
    assert await send("ann", "open") == {"permission": "send", "may": True, "by": "owner"}
    apply(views, relations.SetOverride(APP, "town", category="desk", role="mods", deny=["send"]))
    told_ = await send("u0", "news")
    assert told_ == {"permission": "send", "may": False, "by": "roles", "category": "desk", "roles": ["mods"]}


async def test_about_others_only_holders_of_manage_channels_may_ask(views: Views) -> None:
    status, problem = await views.get(of("access", channel="open"), "user=u0", sub="u7")
    assert (status, problem["code"]) == (403, "not_permitted")
    assert (await told(views, of("access", channel="open"), "user=u3", sub="u0"))["sees"] is False


async def test_bans_are_for_holders_of_ban_and_paged_by_name(views: Views) -> None:
    apply(views, relations.BanMembers(APP, "town", ["x", "u7", "w"]))
    page = await told(views, of("bans"), "limit=2", sub="u0")
    rest = await told(views, of("bans"), f"limit=2&cursor={page['next']}", sub="u0")
    assert [one["user"] for one in page["bans"] + rest["bans"]] == ["u7", "w", "x"]
    assert "next" not in rest
    status, problem = await views.get(of("bans"), sub="u5")
    assert (status, problem["code"]) == (403, "not_permitted")


async def test_invites_are_told_to_whom_they_concern(views: Views) -> None:
    apply(
        views,
        relations.Invite(APP, "town", "i1", "zoe", "come", by="u5"),
        relations.Invite(APP, "town", "i2", "abe", by="u6"),
    )

    async def ids(**who: Any) -> list[str]:
        return [one["id"] for one in (await told(views, of("invites"), **who))["requests"]]

    assert await ids(sub="ann") == ["i2", "i1"]
    assert await ids(sub="zoe") == ["i1"]  # no member yet
    assert await ids(sub="u5") == ["i1"]
    assert await ids(sub="u7") == []
    assert (await views.get(of("invites"), sub="eve"))[0] == 404
    (invite,) = (await told(views, of("invites"), sub="zoe"))["requests"]
    assert {key: invite[key] for key in ("user", "by", "text")} == {"user": "zoe", "by": "u5", "text": "come"}


async def test_applications_are_told_to_who_may_approve_and_to_the_applicant(views: Views) -> None:
    apply(
        views,
        relations.UpdateGroup(APP, "town", join_mode="apply"),
        relations.Apply(APP, "town", "a1", "zoe", by="zoe"),
    )
    for user, seen in (("u0", ["a1"]), ("zoe", ["a1"]), ("u7", [])):
        answer = await told(views, of("applications"), sub=user)
        assert [one["id"] for one in answer["requests"]] == seen


async def test_codes_are_for_holders_of_manage_group(views: Views) -> None:
    apply(views, relations.CreateCode(APP, "town", "secret", 3))
    answer = await told(views, of("codes"))
    assert [(one["code"], one["uses"]) for one in answer["codes"]] == [("secret", 3)]
    assert (await views.get(of("codes"), sub="u0"))[0] == 403


async def test_while_a_change_is_under_way_answers_are_computed_and_exact_and_then_final(views: Views) -> None:
    for part, state, came in ((2, "computed", 1), (1, "final", 2)):
        apply(views, relations.AddMembers(APP, "town", [f"n{part}"], change_set="big", part=part, parts=2))
        members = await told(views, of("members"))
        progress = await told(views, of("change_set", change_set="big"), sub="u7")
        assert (members.get("state", "final"), progress["state"]) == (state, state)
        assert (progress["came"], progress["parts"], progress["finished"]) == (came, 2, came == 2)
        assert members["count"] == 9 + came
    assert (progress["changed"], progress["upto"] - progress["since"]) == (2, 2)
    status, problem = await views.get(of("change_set", change_set="made-up"))
    assert (status, problem["code"]) == (404, "unknown_change_set")


async def test_a_copy_kept_by_changes_is_told_every_event_in_order(views: Views) -> None:
    who = {"role": "gateway", "sub": "service"}
    since, found = 0, []
    while True:
        page = await told(views, of("changes"), f"since={since}&limit=3", **who)
        found += page["changes"]
        since = page["upto"]
        if not page["more"]:
            break
    assert [one["version"] for one in found] == list(range(1, page["version"] + 1))
    assert (found[0]["t"], page["state"], page["snapshot"], page["alive"]) == ("group_created", "final", False, True)
    assert (await told(views, of("changes"), f"since={since}", **who))["changes"] == []


async def test_hot_and_cold_changes_are_told_apart(views: Views) -> None:
    who = {"role": "gateway", "sub": "service"}
    before = (await told(views, of("changes"), "since=11", **who))["version"]
    apply(
        views,
        relations.UpdateMember(APP, "town", "u0", nick="Zero"),
        relations.AddRoleMembers(APP, "town", "mods", ["u7"]),
        relations.UpdateChannel(APP, "town", "open", name="Opened"),
    )
    for part, tags in (
        ("hot", ["role_members_added", "channel_updated"]),
        ("cold", ["member_updated", "channel_updated"]),
        ("all", ["member_updated", "role_members_added", "channel_updated"]),
    ):
        page = await told(views, of("changes"), f"since={before}&part={part}", **who)
        assert ([one["t"] for one in page["changes"]], page["upto"]) == (tags, before + 3)


async def test_a_reader_too_far_behind_takes_a_snapshot(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHANGES_BEHIND", 3)
    page = await told(views, of("changes"), "since=1", role="admin")
    assert (page["snapshot"], page["changes"], page["upto"]) == (True, [], page["version"])


async def test_what_is_neither_in_memory_nor_stored_yet_is_asked_again_for(views: Views) -> None:
    assert views.cores is not None
    views.cores.groups.crash()
    status, problem = await views.get(of("changes"), "since=1", role="admin")
    assert (status, problem["code"]) == (503, "not_stored_yet")


async def test_events_that_come_to_the_store_between_two_questions_are_no_reason_for_a_snapshot(
    views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert views.cores is not None
    views.cores.groups.crash()
    asked: list[str] = []

    async def events(*where: Any) -> dict[int, bytes]:
        *_, low, high = where
        asked.append("events")
        upto = high if len(asked) > 1 else 0
        return {version: b'{"t":"group_updated","version":%d}' % version for version in range(low, upto + 1)}

    async def version(*_: object) -> int:
        asked.append("version")
        return 9 if len(asked) > 1 else 0

    monkeypatch.setattr(Nothing, "events", events)
    monkeypatch.setattr(Nothing, "version", version)
    status, problem = await views.get(of("changes"), "since=1", role="admin")
    assert (status, problem["code"]) == (503, "not_stored_yet")
    page = await told(views, of("changes"), "since=1", role="admin")
    assert (page["snapshot"], [one["version"] for one in page["changes"]]) == (False, list(range(2, 10)))


async def test_the_end_of_a_group_is_one_of_its_changes(views: Views) -> None:
    assert views.cores is not None
    views.cores.groups.apply(delete(group="town"))
    page = await told(views, of("changes"), "since=11", role="admin")
    assert (page["changes"][-1]["t"], page["alive"]) == ("group_deleted", False)


async def test_who_left_or_joined_is_told_at_once(views: Views) -> None:
    assert views.cores is not None
    views.cores.groups.apply(remove("u0", group="town"), add("new", group="town"))
    assert await users(views, of("role_members", role="mods")) == NAMES[1:3]
    assert await users(views, of("channel_members", channel="open")) == ["ann", "u1", "u2", *NAMES[4:], "new"]


async def test_a_channels_subscribers_are_counted_by_level_for_who_sees_it(views: Views) -> None:
    assert views.cores is not None
    levels: tuple[Level, ...] = ("messages", "typing")
    wanted = [Wanted(level, "open") for level in levels]
    views.cores.groups.apply(
        bind("u1", 2, 7, group="town"),
        (catalog.BINDINGS, BindingLot([Listen(APP, "town", "u1", "l", 1, 3, 7, wanted)])),
    )
    found = await told(views, of("subscribers", channel="open"))
    assert (found["joined"], found["messages"], found["typing"], found["unread_count"]) == ("messages", 1, 1, 0)
    status, problem = await views.get(of("subscribers", channel="staff"), sub="u5", role="user")
    assert (status, problem["code"]) == (404, "unknown_channel")
