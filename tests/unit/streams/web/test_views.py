"""What the views tell, to whom; and that any worker tells the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from streams.web import owner
from streams.web.views import VIEWS
from tests.cores import add, bind, create, delete, remove, send
from tests.views import APP, TOKENS, Cores, Views, group_of, path_of
from topics import catalog, limits
from topics.links import Register, Void
from topics.memberships import Joined, MembershipLot
from topics.notices import Notice, PersonLot
from topics.presence import Watching, WatchLot
from topics.relations import TransferOwnership
from topics.sessions import Ground, Lost, SetStatus, Subscribe, Watch
from topics.subscriptions import Subscription

OWNED = [view for view in VIEWS.values() if view.ask is not None]
GROUP, MEMBERS, MAP, LINK = (path_of(VIEWS[name]) for name in ("group", "members", "link_map", "link_sessions"))
GROUPS, SESSIONS, LINKS, MESSAGES = (path_of(VIEWS[name]) for name in ("groups", "sessions", "links", "messages"))
NOTICES = path_of(VIEWS["notices"])


@pytest_asyncio.fixture
async def views() -> AsyncIterator[Views]:
    async with Views(TOKENS, Cores()) as views:
        yield views


def cores(views: Views) -> Cores:
    assert views.cores is not None
    return views.cores


async def whole(views: Views, path: str, of: str, limit: int, **who: Any) -> list[Any]:
    """A list, page by page."""
    found: list[Any] = []
    query = f"limit={limit}"
    for _ in range(100):
        status, page = await views.get(path, query, **who)
        assert status == 200
        assert len(page[of]) <= limit
        found += page[of]
        if "next" not in page:
            return found
        query = f"limit={limit}&cursor={page['next']}"
    raise AssertionError("the pages never end")


async def test_a_group_is_told_with_its_versions_and_counts(views: Views) -> None:
    assert await views.get(GROUP) == (
        200,
        {
            "app": APP,
            "group": "g",
            "kind": "team",
            "version": 1,
            "members": 2,
            "map": 1,
            "links": 1,
            "channels": [{"channel": "main", "head": 1, "first": 1}],
            "profile": {},
        },
    )


@pytest.mark.parametrize("limit", [1, 2, 7, 500])
async def test_members_are_paged_in_the_order_of_joining(views: Views, limit: int) -> None:
    names = [f"u{n}" for n in range(600)]
    cores(views).groups.apply(add(*names))
    cores(views).groups.apply(remove("bob", *names[::2], *names[300:560]))
    left = ["ann", *[name for i, name in enumerate(names) if i % 2 and not 300 <= i < 560]]
    if limit > 2:
        found = await whole(views, MEMBERS, "members", limit)
        assert [one["user"] for one in found] == left
        ordinals = [one["ordinal"] for one in found]
        assert ordinals == sorted(ordinals)
    status, page = await views.get(MEMBERS, f"limit={limit}")
    assert (status, page["count"], page["version"]) == (200, len(left), 3)
    assert len(page["members"]) == min(limit, len(left))


async def test_a_page_of_members_looks_at_bounded_rows(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "VIEW_PAGES", 1)
    names = [f"u{n}" for n in range(1_000)]
    cores(views).groups.apply(add(*names))
    cores(views).groups.apply(remove(*names[:900]))
    _, first = await views.get(MEMBERS)
    assert ([one["user"] for one in first["members"]], "next" in first) == (["ann", "bob"], True)
    assert [one["user"] for one in await whole(views, MEMBERS, "members", 30)] == ["ann", "bob", *names[900:]]


async def test_the_link_map_counts_sessions_by_link_and_pages_them(views: Views) -> None:
    partition = cores(views).groups
    partition.apply(add(*(f"u{n}" for n in range(300))))
    partition.apply(*(bind(f"u{n}", n + 2, 100 + n) for n in range(300)), bind("bob", 1, 5, link="m", epoch=4))
    status, told = await views.get(MAP)
    assert status == 200
    assert sorted((one["link"], one["epoch"], one["sessions"]) for one in told["links"]) == [("l", 1, 302), ("m", 4, 1)]
    assert "changes" not in told
    found = await whole(views, LINK, "members", 50)
    assert found[0] == {"ordinal": 0, "user": "ann", "slots": [7, 8]}
    assert [(one["user"], one["slots"]) for one in found[1:]] == [(f"u{n}", [100 + n]) for n in range(300)]
    _, page = await views.get(path_of(VIEWS["link_sessions"], link="m"))
    assert (page["epoch"], page["version"]) == (4, told["version"])
    assert page["members"] == [{"ordinal": 1, "user": "bob", "slots": [5]}]
    status, problem = await views.get(path_of(VIEWS["link_sessions"], link="n"))
    assert (status, problem["code"]) == (404, "unknown_link")


async def test_a_reader_that_knows_a_version_is_told_what_changed_since(views: Views) -> None:
    partition = cores(views).groups
    _, before = await views.get(MAP)
    partition.apply(bind("bob", 1, 9, link="m", epoch=2))
    partition.apply(remove("ann"))
    partition.apply(bind("bob", 1, 10, link="m", epoch=2))
    _, told = await views.get(MAP, f"since={before['version']}", sub="bob")
    assert told["version"] == before["version"] + 3
    assert sorted(told["changes"], key=lambda one: str(one["link"])) == [
        {"link": "l", "epoch": 1, "unbound": [[0, 7], [0, 8]]},
        {"link": "m", "epoch": 2, "bound": [[1, 9], [1, 10]]},
    ]
    _, same = await views.get(MAP, f"since={told['version']}", sub="bob")
    assert same == told | {"changes": []}


async def test_a_reader_that_knows_a_time_is_told_what_changed_since(views: Views) -> None:
    partition = cores(views).groups
    partition.now_ms += 1_000
    partition.apply(bind("bob", 1, 9, link="m", epoch=2))
    _, before = await views.get(MAP)
    partition.apply(bind("bob", 1, 10, link="m", epoch=2))  # at the same instant
    _, told = await views.get(MAP, f"changed_since_ms={before['at_ms']}")
    assert told["changes"] == [{"link": "m", "epoch": 2, "bound": [[1, 9], [1, 10]]}]
    status, problem = await views.get(MAP, f"since=0&changed_since_ms={before['at_ms']}")
    assert (status, problem["code"]) == (400, "bad_request")


async def test_a_link_maps_versions_go_on_over_a_restart(views: Views) -> None:
    partition = cores(views).groups
    _, before = await views.get(MAP)
    partition.crash()
    _, same = await views.get(MAP, f"since={before['version']}")
    assert (same["version"], same["links"], same["changes"]) == (before["version"], before["links"], [])
    partition.apply(bind("bob", 1, 9, link="m", epoch=2))
    _, told = await views.get(MAP, f"since={before['version']}")
    assert told["version"] == before["version"] + 1
    assert told["changes"] == [{"link": "m", "epoch": 2, "bound": [[1, 9]]}]


async def test_a_dead_link_is_one_change(views: Views) -> None:
    partition = cores(views).groups
    partition.apply((catalog.LINK_VOIDS, Void("l", 1)))
    _, told = await views.get(MAP, "since=1")
    assert told["changes"] == [{"link": "l", "epoch": 1, "ended": True}]
    assert (told["version"], told["links"]) == (2, [])


@pytest.mark.parametrize("since", [0, 99])
async def test_a_version_too_long_ago_or_unheard_of_gets_the_whole_map(views: Views, since: int) -> None:
    cores(views).groups.crash()
    _, told = await views.get(MAP, f"since={since}")
    assert (told["version"], [one["sessions"] for one in told["links"]], "changes" in told) == (1, [2], False)
    assert (await views.get(MAP, "since=1"))[1]["changes"] == []


@pytest.mark.parametrize("limit", [1, 3, 500])
async def test_a_users_groups_are_paged_by_name(views: Views, limit: int) -> None:
    names = sorted({"g", *(f"g-{n}" for n in range(20))})
    lots = MembershipLot([Joined(APP, name, 1, ["ann"], [0]) for name in names if name != "g"])
    cores(views).users.apply((catalog.MEMBERSHIPS, lots))
    found = await whole(views, GROUPS, "groups", limit)
    assert [one["group"] for one in found] == names


async def test_a_users_notices_are_pulled_by_number_by_the_user_and_its_apps_gateways(views: Views) -> None:
    for n in range(1, 6):
        notice = Notice(APP, ["ann"], "g", n, n * 1_000, "invited", by="bob", subject=f"i{n}")
        cores(views).users.apply((catalog.NOTICES, PersonLot([notice])))
    status, told = await views.get(NOTICES, "since=2&limit=2")
    assert (status, told["newest"], told["first"], told["more"]) == (200, 5, 1, True)
    assert told["notices"] == [
        {"number": n, "group": "g", "version": n, "at": n * 1_000, "kind": "invited", "by": "bob", "subject": f"i{n}"}
        for n in (3, 4)
    ]
    _, rest = await views.get(NOTICES, "since=4", role="gateway", sub="a-gateway")
    assert ([one["number"] for one in rest["notices"]], rest["more"]) == ([5], False)
    assert len((await views.get(NOTICES))[1]["notices"]) == 5
    status, problem = await views.get(NOTICES, sub="bob")
    assert (status, problem["code"]) == (404, "unknown_user")


async def test_who_was_never_told_anything_has_no_notices(views: Views) -> None:
    assert await views.get(path_of(VIEWS["notices"], user="eve"), sub="eve") == (
        200,
        {"newest": 0, "first": 1, "notices": [], "more": False},
    )


async def test_a_users_sessions_are_told_with_device_and_link(views: Views) -> None:
    session = {"device": "phone", "link": "l", "epoch": 1, "partition": 3, "slot": 7}
    assert await views.get(SESSIONS) == (200, {"sessions": [session]})
    assert await views.get(path_of(VIEWS["sessions"], user="nobody"), role="gateway") == (200, {"sessions": []})
    core = cores(views).users
    core.apply((catalog.SESSIONS, Ground(APP, "ann", "l", 1, 7, background=True)))
    core.apply((catalog.SESSIONS, Lost(APP, "ann", "l", 1, 7)))
    lost = session | {"background": True, "lost_until": core.now_ms + limits.RESUME_MS}
    assert await views.get(SESSIONS) == (200, {"sessions": [lost]})


async def test_a_session_is_told_with_what_it_subscribed_to_and_watches_in_pages(views: Views) -> None:
    asked = [Subscription(group, "messages", "main") for group in ("g", "h", "i")]
    cores(views).users.apply(
        (catalog.SESSIONS, Subscribe(APP, "ann", "l", 1, 7, [*asked, Subscription("h", "server")])),
        (catalog.SESSIONS, Watch(APP, "ann", "l", 1, 7, ["eve", "bob"])),
    )
    path = path_of(VIEWS["session"])
    _, told = await views.get(path)
    assert (told["session"]["device"], told["watches"]) == ("phone", ["bob", "eve"])
    assert told["groups"][1] == {
        "group": "h",
        "wanted": [{"level": "server"}, {"level": "messages", "channel": "main"}],
    }
    assert [one["group"] for one in await whole(views, path, "groups", 2)] == ["g", "h", "i"]
    for other in ({"slot": "8"}, {"slot": "x"}, {"epoch": "1" * 30}):
        status, problem = await views.get(path_of(VIEWS["session"], **other))
        assert (status, problem["code"]) == (404, "unknown_session")
    assert (await views.get(path, sub="bob"))[1]["code"] == "unknown_user"


async def test_presence_is_told_to_the_user_itself_and_to_operators(views: Views) -> None:
    core = cores(views).users
    core.apply(
        (catalog.SESSIONS, SetStatus(APP, "ann", "at sea")),
        (catalog.SESSIONS, Ground(APP, "ann", "l", 1, 7, background=True)),
        (catalog.WATCHES, WatchLot([Watching(APP, ["ann"], "l", 1, 3, 9)])),
    )
    path = path_of(VIEWS["presence"])
    told = {"state": "background", "status": "at sea", "version": 1, "watchers": 1}
    assert await views.get(path) == await views.get(path, role="gateway") == (200, told)
    assert (await views.get(path, sub="bob"))[1]["code"] == "unknown_user"
    core.apply((catalog.WATCHES, WatchLot([Watching(APP, ["ann"], "m", 1, 4, 9)])), (catalog.LINK_VOIDS, Void("m", 1)))
    assert (await views.get(path))[1]["watchers"] == 1
    status, nobody = await views.get(path_of(VIEWS["presence"], user="nobody"), role="admin")
    assert (status, nobody["state"]) == (200, "offline")


async def test_links_are_told_with_load_and_silence(views: Views) -> None:
    views_links = cores(views).links
    views_links.apply(*((catalog.LINKS, Register(f"m{n}", f"r{n}")) for n in range(5)))
    status, told = await views.get(LINKS, "limit=1", role="admin")
    link = told["links"][0]
    assert (status, told["count"], told["most"]) == (200, 6, 32)
    assert (link["link"], link["address"], link["region"], link["sessions"]) == ("l", "ws://l", "north", 2)
    assert link["silent_ms"] >= 0
    found = await whole(views, LINKS, "links", 2, role="gateway")
    assert [one["link"] for one in found] == ["l", *(f"m{n}" for n in range(5))]


@pytest.mark.parametrize(
    "view",
    [view for view in VIEWS.values() if "{group}" in view.path and view.name != "changes"],
    ids=lambda view: view.name,
)
async def test_a_group_that_is_none_of_the_askers_looks_like_one_that_does_not_exist(views: Views, view: Any) -> None:
    unknown = await views.get(path_of(view, group="made-up"))
    assert unknown[0] == 404
    assert unknown[1]["code"] == "unknown_group"
    assert await views.get(path_of(view, group="bobs")) == unknown
    group = group_of(view)
    assert await views.get(path_of(view), sub="eve") == unknown
    assert await views.get(path_of(view), app="other", role="admin") == unknown
    cores(views).groups.apply((catalog.RELATIONS, TransferOwnership(APP, "s", "bob")))
    cores(views).groups.apply(remove("ann", group=group))
    assert await views.get(path_of(view)) == unknown
    assert (await views.get(path_of(view), sub="bob"))[0] in {200, 404 if view.name == "link_sessions" else 200}
    cores(views).groups.apply(delete(group=group))
    assert await views.get(path_of(view), role="admin") == unknown


@pytest.mark.parametrize("view", [view for view in VIEWS.values() if "{user}" in view.path], ids=lambda view: view.name)
async def test_a_user_sees_no_other_user(views: Views, view: Any) -> None:
    assert (await views.get(path_of(view)))[0] == 200
    status, problem = await views.get(path_of(view, user="bob"))
    assert (status, problem["code"]) == (404, "unknown_user")
    assert await views.get(path_of(view, user="nobody")) == (status, problem)
    for role in ("gateway", "admin"):
        status, told = await views.get(path_of(view, user="bob"), role=role, sub="x")
        assert status == 200 or told["code"] == "unknown_session"


async def test_reading_makes_no_rows(views: Views) -> None:
    partitions = (cores(views).groups, cores(views).users, cores(views).links)
    before = [dict(partition.store.rows) for partition in partitions]
    for view in OWNED:
        await views.get(path_of(view), role="admin")
        await views.get(path_of(view, group="made-up", user="made-up", link="made-up"), role="admin")
    for partition in partitions[:2]:
        partition.tick()
    assert [dict(partition.store.rows) for partition in partitions[:2]] == before[:2]


async def test_a_re_created_group_shows_nothing_of_its_earlier_life(views: Views) -> None:
    partition = cores(views).groups
    partition.apply(delete())
    partition.apply(create("bob", "cid"))
    partition.apply(send("bob", "new", partition.now_ms + 1))
    _, page = await views.get(MEMBERS, sub="bob")
    assert [one["user"] for one in page["members"]] == ["bob", "cid"]
    _, told = await views.get(GROUP, sub="bob")
    assert told["channels"] == [{"channel": "main", "head": 2, "first": 2}]
    _, pulled = await views.get(MESSAGES, "after=0", sub="bob")
    assert [message["s"] for message in pulled["messages"]] == [2]
    assert (pulled["head"], pulled["first"]) == (2, 2)


async def test_a_worker_that_owns_nothing_tells_the_same(views: Views) -> None:
    async with Views(TOKENS) as other:
        views.owns(other.directory)
        for name, view in VIEWS.items():
            if view.roles is None or not view.public:
                continue
            for names in ({}, {"group": "made-up", "user": "made-up", "link": "made-up"}):
                for who in ({"role": "admin"}, {"sub": "ann"}, {"sub": "eve"}):
                    path = path_of(view, **names)
                    assert await other.get(path, **who) == await views.get(path, **who), (name, names, who)


@pytest.mark.parametrize("view", OWNED, ids=lambda view: view.name)
async def test_while_a_partition_changes_hands_the_answer_is_ask_again(
    views: Views, view: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "_OWNER_S", 0.0)
    cores(views).closed = True
    async with Views(TOKENS) as other:
        views.owns(other.directory)
        for one in (views, other):
            async with one.client.get(path_of(view), headers=one.bearer("admin")) as response:
                assert response.status == 503
                assert response.headers["Retry-After"] == "1"
                assert (await response.json(content_type=None))["code"] == "owner_unknown"


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=1e2", "limit=-1", "limit=", "limit=1&limit=2", "limits=3", "after=x", "since=1"],
)
@pytest.mark.parametrize("path", [MEMBERS, LINK, GROUPS])
async def test_a_parameter_that_means_nothing_is_refused(views: Views, path: str, query: str) -> None:
    cores(views).asked.clear()
    status, problem = await views.get(path, query)
    assert (status, problem["code"]) == (400, "bad_request")
    assert "`" in problem["detail"]
    assert cores(views).asked == []


async def test_a_cursor_is_good_for_the_list_that_gave_it(views: Views) -> None:
    cores(views).groups.apply(create("ann", "x", group="h"))
    _, page = await views.get(MEMBERS, "limit=1")
    given = page["next"]
    other = path_of(VIEWS["members"], group="h")
    bad = [(other, given), (LINK, given), (GROUPS, given), (MEMBERS, given + "="), (MEMBERS, given[:-1])]
    bad += [(MEMBERS, "x"), (MEMBERS, ""), (MEMBERS, "é"), (MEMBERS, "A" * 5_000), (MEMBERS, f"{given}&cursor={given}")]
    for path, cursor in bad:
        status, problem = await views.get(path, f"cursor={cursor}")
        assert (status, problem["code"]) == (400, "bad_cursor"), (path, cursor)
