"""Bans, mutes, profiles, origins, requests and codes: what was written is what is read, also after a crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.bans import Bans
from tables.codes import Codes
from tables.expiries import Expiries, Expiry
from tables.mutes import Mutes
from tables.origins import Origin, Origins
from tables.parts import PartRows
from tables.profiles import NOBODY, Profiles
from tables.requests import Request, Requests
from tables.rows import Rows
from tests.cores import Memory, commit
from topics import limits
from topics.entities import Code, MemberProfile

T = TypeVar("T")

_GROUP = b"app:g"
_KEYS = st.sampled_from([b"a", b"ab", b"b", b"\x00", b"\xff"])


class _Kept:
    """Rows whose owner comes and goes."""

    def __init__(self) -> None:
        self.store = Memory()
        self.rows = Rows(self.store)

    def again(self, make: Callable[[Rows, bytes, int], T], first: int = 0) -> T:
        """What a new owner finds."""
        commit(self.rows, self.store)
        self.rows = Rows(self.store)
        return make(self.rows, _GROUP, first)


@given(st.lists(st.tuples(st.sampled_from(["put", "delete", "reload"]), _KEYS, st.binary(max_size=3))))
def test_rows_of_a_part_are_a_map_that_knows_its_size(steps: list[tuple[str, bytes, bytes]]) -> None:
    kept, model = _Kept(), dict[bytes, bytes]()
    part = PartRows(kept.rows, b"x", _GROUP, 7)
    other = PartRows(kept.rows, b"x", _GROUP, 8)
    other.put(b"a", b"others")
    for step, key, value in steps:
        match step:
            case "put":
                part.put(key, value)
                model[key] = value
            case "delete":
                assert part.delete(key) == (model.pop(key, None) is not None)
            case "reload":
                part = kept.again(lambda rows, group, _: PartRows(rows, b"x", group, 7))
        assert len(part) == len(model)
        assert list(part.scan()) == sorted(model.items())
        assert list(part.scan(after=key)) == sorted(row for row in model.items() if row[0] > key)
        assert list(part.scan(b"a")) == sorted(row for row in model.items() if row[0].startswith(b"a"))
        assert part.get(key) == model.get(key)
    for key in list(model):
        part.delete(key)
    commit(kept.rows, kept.store)
    assert len(kept.store.rows) == 2  # the other life's, and its count


@given(st.lists(st.tuples(st.lists(st.integers(0, 9), max_size=4), st.integers(0, 30), st.integers(0, 5))))
def test_mutes_hold_until_their_moment(steps: list[tuple[list[int], int, int]]) -> None:
    kept, now_ms, model = _Kept(), 10, dict[int, int]()
    mutes = kept.again(Mutes)
    for ordinals, until, later in steps:
        now_ms += later
        live = {ordinal: at for ordinal, at in model.items() if at > now_ms}
        wanted = until if until > now_ms else 0
        changed = mutes.mute(ordinals, until, now_ms)
        assert changed == [ordinal for ordinal in dict.fromkeys(ordinals) if live.get(ordinal, 0) != wanted]
        model = {o: at for o, at in (live | dict.fromkeys(ordinals, wanted)).items() if at}
        assert mutes.all(now_ms) == model
        mutes = kept.again(Mutes)
        assert mutes.all(now_ms) == model
        assert [mutes.muted(ordinal, now_ms) for ordinal in range(10)] == [model.get(o, 0) for o in range(10)]
    mutes.forget(range(10))
    assert len(kept.again(Mutes)) == 0
    assert kept.store.rows == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ban", "lift"]),
            st.lists(st.sampled_from("abc"), min_size=1),
            st.none() | st.integers(1, 30),
            st.integers(0, 5),
        )
    )
)
def test_bans_hold_until_their_moment_or_until_they_are_lifted(
    steps: list[tuple[str, list[str], int | None, int]],
) -> None:
    kept, now_ms, model = _Kept(), 10, dict[str, int | None]()
    for step, users, until, later in steps:
        now_ms += later
        bans = kept.again(Bans)
        model = {user: at for user, at in model.items() if at is None or at > now_ms}
        named = list(dict.fromkeys(users))
        if step == "lift":
            assert bans.lift(users, now_ms) == [user for user in named if user in model]
            model = {user: at for user, at in model.items() if user not in users}
        elif until is None or until > now_ms:
            assert bans.ban(users, until, now_ms) == [u for u in named if u not in model or model[u] != until]
            model |= dict.fromkeys(users, until)
        assert bans.page(9, now_ms) == sorted(model.items())
        assert bans.page(1, now_ms, after="a") == sorted(row for row in model.items() if row[0] > "a")[:1]
        assert bans.let_in("abcd", now_ms) == [user for user in "abcd" if user not in model]


_PROFILES = st.sampled_from([NOBODY, MemberProfile("n"), MemberProfile(weight=-3, custom="c", avatar="a")])


@given(st.lists(st.tuples(st.integers(0, 5), _PROFILES | st.none())))
def test_only_members_that_have_a_profile_have_a_row(steps: list[tuple[int, MemberProfile | None]]) -> None:
    kept, model = _Kept(), dict[int, MemberProfile]()
    for ordinal, profile in steps:
        profiles = kept.again(Profiles)
        if profile is None:
            profiles.forget([ordinal, 99])
            model.pop(ordinal, None)
        else:
            profiles.set(ordinal, profile)
            model[ordinal] = profile
        model = {at: known for at, known in model.items() if known != NOBODY}
        assert len(profiles) == len(model)
        assert list(profiles.scan()) == sorted(model.items())
        assert list(profiles.scan(after=2)) == sorted(row for row in model.items() if row[0] > 2)
        assert [profiles.of(at) for at in range(6)] == [model.get(at, NOBODY) for at in range(6)]


@given(st.lists(st.tuples(st.integers(1, 700), st.integers(0, 2), st.sampled_from([None, "ann"]), st.booleans())))
def test_each_member_has_the_origin_of_its_lot(lots: list[tuple[int, int, str | None, bool]]) -> None:
    kept, model, now_ms = _Kept(), list[tuple[int, str | None]](), 5
    origins = kept.again(Origins)
    for count, later, by, reload in lots:
        now_ms += later
        origins.add(len(model), count, now_ms, "added", by)
        model += [(now_ms, by)] * count
        if reload:
            origins.flush()
            origins = kept.again(Origins)
    for ordinal in {0, len(model) // 2, len(model) - 1} if model else ():
        found = origins.of(ordinal)
        assert found is not None
        assert (found.at, found.by, found.how) == (*model[ordinal], "added")
    if not model:
        assert origins.of(0) is None


def test_a_million_members_in_lots_are_a_row_a_page_not_one_a_member() -> None:
    kept = _Kept()
    origins = kept.again(Origins)
    for lot in range(100):
        origins.add(lot * 10_000, 10_000, lot, "added", None)
        origins.flush()
        commit(kept.rows, kept.store)
    assert len(kept.store.rows) == -(-1_000_000 // limits.PAGE_ORDINALS)
    assert sum(map(len, kept.store.rows.values())) < 100_000
    assert kept.again(Origins).of(999_999) == Origin(999_936, 99, "added")


def test_requests_of_both_kinds_are_apart_and_listed_by_user() -> None:
    kept = _Kept()
    requests = kept.again(Requests)
    made = {name: Request(user, None, 1, 9) for name, user in (("x", "bob"), ("y", "ann"), ("z", "eve"))}
    for name, request in made.items():
        requests.add("invite", name, request)
    requests.add("application", "x", Request("ann", "ann", 1, 5, "text"))
    requests = kept.again(Requests)
    assert len(requests) == 4
    assert requests.page("invite", 9, 2) == [("y", made["y"]), ("x", made["x"]), ("z", made["z"])]
    assert requests.page("invite", 1, 2, after="ann") == [("x", made["x"])]
    assert requests.page("application", 9, 5) == []  # its time is over
    assert requests.of_user("application", "ann") == ("x", Request("ann", "ann", 1, 5, "text"))
    requests.end("invite", "x", made["x"], "declined", 3)
    requests = kept.again(Requests)
    ended = requests.get("invite", "x")
    assert ended is not None
    assert (ended.end, ended.ended_at, ended.open(2)) == ("declined", 3, False)
    assert (len(requests), requests.of_user("invite", "bob")) == (3, None)
    requests.forget("invite", "x")
    assert kept.again(Requests).get("invite", "x") is None
    assert kept.again(Requests).get("application", "x") is not None


def test_codes_are_found_again() -> None:
    kept = _Kept()
    codes = kept.again(Codes)
    codes.put(Code("b", 2, 9, "ann"))
    codes.put(Code("a", 1, 9))
    assert kept.again(Codes).all() == [Code("a", 1, 9), Code("b", 2, 9, "ann")]
    codes = kept.again(Codes)
    codes.end("b")
    assert (len(kept.again(Codes)), kept.again(Codes).get("b")) == (1, None)
    assert kept.again(Codes, first=256).all() == []


_EXPIRIES = [
    Expiry(b"app:g", 0, "invite", "i"),
    Expiry(b"app:g", 0, "application", "i"),
    Expiry(b"app:g", 0, "code", "i"),
    Expiry(b"app:g", 256, "invite", "i"),
    Expiry(b"app:gg", 0, "invite", "i.@-_"),
]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "add", "drop", "take", "reload"]),
            st.sampled_from(_EXPIRIES),
            st.integers(0, 300),
            st.integers(1, 3),
        )
    )
)
def test_each_expiry_is_given_once_at_its_moment_in_order(steps: list[tuple[str, Expiry, int, int]]) -> None:
    kept, now_ms, model = _Kept(), 1_000, dict[Expiry, int]()

    def make(rows: Rows, _: bytes, __: int) -> Expiries:
        return Expiries(rows)

    expiries = kept.again(make)
    for step, expiry, ms, count in steps:
        match step:
            case "add" if expiry not in model:
                model[expiry] = now_ms + ms
                expiries.add(now_ms + ms, expiry)
            case "drop" if expiry in model:
                expiries.drop(model.pop(expiry), expiry)
            case "drop":
                expiries.drop(now_ms + ms, expiry)  # it is not there
            case "take":
                now_ms += ms
                taken = expiries.take(now_ms, count)
                due = sorted(at for at in model.values() if at <= now_ms)
                assert [model.pop(one) for one in taken] == due[:count]
            case "reload":
                expiries = kept.again(make)
        assert expiries.due_ms() == min(model.values(), default=None)


@pytest.mark.parametrize("part", [Bans, Mutes, Profiles, Requests])
def test_a_part_of_another_life_is_empty(part: Any) -> None:
    kept = _Kept()
    kept.again(Bans).ban(["a"], None, 1)
    kept.again(Mutes).mute([1], 9, 1)
    kept.again(Profiles).set(1, MemberProfile("n"))
    kept.again(Requests).add("invite", "i", Request("a", None, 1, 9))
    assert len(kept.again(part)) == 1
    assert len(kept.again(part, first=256)) == 0
