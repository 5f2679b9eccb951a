"""Dead registrations against the set of all voids ever told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tables.rows import Rows
from tables.voids import Voids
from tests.cores import Memory, commit

_LINKS = st.sampled_from(["l", "ll", "m"])


@given(st.lists(st.tuples(_LINKS, st.integers(0, 5), st.booleans()), max_size=30))
def test_a_void_covers_every_earlier_epoch_of_its_link_and_is_news_once(told: list[tuple[str, int, bool]]) -> None:
    store = Memory()
    rows = Rows(store)
    voids, dead = Voids(rows), set[tuple[str, int]]()
    for link, epoch, reload in told:
        changes = voids.changes
        news = (link, epoch) not in dead
        assert voids.add(link, epoch) == news
        assert voids.changes == changes + news
        dead |= {(link, earlier) for earlier in range(epoch + 1)}
        if reload:
            commit(rows, store)
            rows = Rows(store)
            voids = Voids(rows)
        for other in ("l", "ll", "m", "other"):
            assert [e for e in range(7) if voids.covers(other, e)] == [e for e in range(7) if (other, e) in dead]
