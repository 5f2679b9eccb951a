"""Sessions against a plain list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.rows import Rows
from tables.sessions import Session, Sessions
from tables.voids import Voids
from tests.cores import Memory, commit
from topics import limits
from topics.codec import Malformed

_STEPS = st.tuples(
    st.sampled_from(["up", "up", "up", "down", "void", "reload"]),
    st.sampled_from(["u", "uu"]),
    st.sampled_from(["l", "m"]),
    st.integers(0, 2),
    st.integers(0, 3),
)


@given(st.lists(_STEPS, max_size=50))
def test_sessions_are_a_list_a_user_up_to_the_limit_and_dead_links_have_none(
    steps: list[tuple[str, str, str, int, int]],
) -> None:
    store = Memory()
    rows = Rows(store)
    voids = Voids(rows)
    sessions = Sessions(rows, voids)
    oracle: dict[str, list[Session]] = {"u": [], "uu": []}
    dead: set[tuple[str, int]] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "SESSIONS_PER_USER", 4)
        for step, user, link, epoch, slot in steps:
            session = Session("d", link, epoch, 0, slot)
            held = oracle[user]
            match step:
                case "up" if session in held or (link, epoch) in dead:
                    assert not sessions.up("a", user, session)
                case "up" if len(held) == 4:
                    with pytest.raises(Malformed):
                        sessions.up("a", user, session)
                case "up":
                    assert sessions.up("a", user, session)
                    held.append(session)
                case "down":
                    assert sessions.down("a", user, link, epoch, slot) == (session in held)
                    oracle[user] = [other for other in held if other != session]
                case "void":
                    voids.add(link, epoch)
                    dead |= {(link, earlier) for earlier in range(epoch + 1)}
                    oracle = {u: [s for s in ss if (s.link, s.epoch) not in dead] for u, ss in oracle.items()}
                case _:
                    commit(rows, store)
                    rows = Rows(store)
                    voids = Voids(rows)
                    sessions = Sessions(rows, voids)
            assert {u: sessions.of("a", u) for u in oracle} == oracle
            assert sessions.of("b", "u") == []


def test_a_user_without_sessions_has_no_row() -> None:
    store = Memory()
    rows = Rows(store)
    sessions = Sessions(rows, Voids(rows))
    sessions.up("a", "u", Session("d", "l", 1, 0, 1))
    sessions.down("a", "u", "l", 1, 1)
    commit(rows, store)
    assert store.rows == {}
