"""Sessions and the deaths that take them, against plain lists."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tables import keys, rolls, versions
from tables.deaths import Deaths, Gone
from tables.policy import Policies
from tables.rows import Rows
from tables.sessions import Session, Sessions, index
from tables.voids import Voids
from tests.cores import Memory, commit
from topics.policy import Policy

_RESUME_MS = {"a": 50, "b": 200}


class _World:
    """The tables of a users partition that know of sessions."""

    def __init__(self) -> None:
        self.store = Memory()
        self.load()
        for app, resume_ms in _RESUME_MS.items():
            self.policies.set(app, Policy(resume_ms=resume_ms))

    def load(self) -> None:
        self.rows = Rows(self.store)
        self.voids = Voids(self.rows)
        self.policies = Policies(self.rows)
        self.deaths = Deaths(self.rows, self.policies)
        self.sessions = Sessions(self.rows, self.voids, self.deaths)

    def recover(self) -> None:
        """Come back with what the changelog holds: local rows are made anew."""
        commit(self.rows, self.store)
        logged = {key: row for key, row in self.store.rows.items() if not key.startswith(b"~")}
        local = {key: row for key, row in self.store.rows.items() if key.startswith(b"~")}
        self.store = Memory()
        for key, row in logged.items():
            self.store.write(index(key, None, row, self.store.get))
            assert not rolls.index(key, None, row, self.store.get)
        assert self.store.rows == local
        self.store.write(logged)
        self.load()


_STEPS = st.tuples(
    st.sampled_from(["up", "up", "up", "lost", "down", "void", "wait", "recover"]),
    st.sampled_from([("a", "u"), ("a", "v"), ("b", "u")]),
    st.sampled_from(["l", "m"]),
    st.integers(0, 2),
    st.integers(0, 3),
)


@given(st.lists(_STEPS, max_size=60), st.integers(1, 3))
def test_a_dead_link_takes_its_sessions_when_the_time_to_resume_them_is_over(
    steps: list[tuple[str, tuple[str, str], str, int, int]], count: int
) -> None:
    world = _World()
    now_ms = 1_000
    oracle: dict[tuple[str, str], list[Session]] = {("a", "u"): [], ("a", "v"): [], ("b", "u"): []}
    died: dict[tuple[str, int], int] = {}
    for step, owner, link, epoch, slot in steps:
        app, user = owner
        held = oracle[owner]
        known = [session for session in held if session.at(link, epoch, slot)]
        match step:
            case "up" if not known and (link, epoch) not in died:
                held.append(Session(f"d{slot}", link, epoch, 3, slot, platform="ios" if slot else ""))
                world.sessions.write(app, user, held)
            case "lost" if known and (link, epoch) not in died:
                held[held.index(known[0])] = known[0]._replace(lost_until=now_ms + 100)
                world.sessions.write(app, user, held)
            case "down" if known:
                held.remove(known[0])
                world.sessions.write(app, user, held)
            case "void":
                after = world.voids.newest(link)
                if world.voids.add(link, epoch):
                    world.deaths.add(link, after, epoch, now_ms)
                    for earlier in range(epoch + 1):
                        died.setdefault((link, earlier), now_ms)
            case "wait":
                now_ms += 40 * (slot + 1)
                while (due := world.deaths.due_ms()) is not None and due <= now_ms:
                    for gone in world.deaths.step(now_ms, count):
                        world.sessions.forget(*gone)
            case "recover":
                world.recover()
        for (app, user), held in oracle.items():
            expected = []
            for session in held:
                if (at := died.get((session.link, session.epoch))) is not None:
                    until = min(at + _RESUME_MS[app], session.lost_until or 1 << 40)
                    session = session._replace(lost_until=until)  # noqa: PLW2901 -- as it is to be seen
                    if step == "wait" and now_ms >= at + _RESUME_MS[app]:
                        continue
                expected.append(session)
            assert world.sessions.held(app, user) == expected
            assert world.sessions.of(app, user) == [s for s in expected if (s.link, s.epoch) not in died]
            oracle[app, user] = [old for old in held if any(old.at(s.link, s.epoch, s.slot) for s in expected)]
    now_ms += 1_000
    while world.deaths.due_ms() is not None:
        for gone in world.deaths.step(now_ms, count):
            world.sessions.forget(*gone)
    commit(world.rows, world.store)
    left = {(link, epoch) for key in world.store.rows if key.startswith(keys.USERS_ON) for link, epoch in [_place(key)]}
    assert not left & set(died)


def _place(key: bytes) -> tuple[str, int]:
    link, _, rest = key[len(keys.USERS_ON) :].partition(keys.END)
    return link.decode(), int.from_bytes(rest[:8], "big")


def test_a_user_without_sessions_has_no_row() -> None:
    world = _World()
    world.sessions.write("x", "u", [Session("d", "l", 1, 0, 1)])
    world.sessions.write("x", "u", [])
    commit(world.rows, world.store)
    assert all(key.startswith(keys.POLICY) for key in world.store.rows)


def test_rows_of_the_release_before_are_read_and_what_it_can_read_is_written_as_it_did() -> None:
    world = _World()
    old = msgspec.msgpack.encode([("d", "l", 1, 3, 7)])
    world.rows.put(keys.SESSIONS + b"x:u", old)
    assert world.sessions.held("x", "u") == [Session("d", "l", 1, 3, 7)]
    world.sessions.write("x", "v", [Session("d", "l", 1, 3, 7)])
    assert world.rows.get(keys.SESSIONS + b"x:v") == old
    assert world.rows.get(keys.STAMP) is None
    world.sessions.write("x", "v", [Session("d", "l", 1, 3, 7, background=True)])
    assert versions.USERS.latest == 2
    assert msgspec.msgpack.decode(world.rows.get(keys.STAMP) or b"")["version"] == 2


def test_sessions_that_the_release_before_left_on_dead_links_are_gone() -> None:
    world = _World()
    world.rows.put(keys.SESSIONS + b"x:u", msgspec.msgpack.encode([("d", "l", 1, 3, 7), ("d", "m", 1, 3, 7)]))
    world.rows.put(keys.VOID + b"l", keys.u64(4))
    commit(world.rows, world.store)
    world.load()
    assert [session.link for session in world.sessions.held("x", "u")] == ["m"]


def test_a_death_asks_each_app_once_and_gives_its_users_in_steps() -> None:
    world = _World()
    for app in ("a", "b", "c"):
        for i in range(5):
            world.sessions.write(app, f"u{i}", [Session("d", "l", 7, 3, i)])
    world.voids.add("l", 7)
    world.deaths.add("l", -1, 7, 1_000)
    assert world.deaths.due_ms() == 0
    assert world.deaths.step(1_000, 3) == []
    assert world.deaths.due_ms() == 1_050
    assert world.deaths.step(1_049, 3) == []
    first = world.deaths.step(1_050, 3)
    assert first == [Gone("a", f"u{i}", "l", 7) for i in range(3)]
    for gone in first:
        assert [session.slot for session in world.sessions.forget(*gone)] == [int(gone.user[1:])]
    assert [gone.user for gone in world.deaths.step(1_050, 3)] == ["u3", "u4"]
    assert world.deaths.due_ms() == 1_200
