"""Registrations against a plain dict; silence against the time that passed on the topic."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tables.links import Links
from tables.rows import Rows
from tests.cores import Memory, commit
from topics import limits

_PARTITIONS = 3
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["register", "beat", "beat", "end", "late beat", "clock", "take-over"]),
        st.sampled_from(["k", "l", "m", "n"]),
        st.sampled_from([0, 500, 1_000, 1_900, 2_000, 2_001, 60_000, -300]),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(_STEPS)
def test_no_two_living_links_share_a_partition_and_only_silence_kills(steps: list[tuple[str, str, int]]) -> None:
    store, at, offset = Memory(), 1_000_000, 0
    rows = Rows(store)
    links = Links(rows, _PARTITIONS)
    epochs: dict[str, int] = {}
    heard: dict[str, int] = {}  # in time passed
    passed, newest = 0, None
    for step, link, later in steps:
        at, offset = at + later, offset + 1
        if step == "take-over":
            commit(rows, store)
            rows = Rows(store)
            links = Links(rows, _PARTITIONS)
            heard, passed, newest = dict.fromkeys(heard, 0), 0, None
            assert {name: known.epoch for name, known in links.living.items()} == epochs
            continue
        if newest is not None:
            passed += min(max(at - newest, 0), limits.LINK_GAP_MS)
        newest = at if newest is None else max(newest, at)
        links.pass_time(at)
        match step:
            case "register":
                links.end(link, offset)
                epochs.pop(link, None)
                heard.pop(link, None)
                registered = links.register(link, offset, "address", "region")
                assert (registered is None) == (len(epochs) == _PARTITIONS)
                if registered is not None:
                    epochs[link], heard[link] = offset, passed
            case "beat" if link in epochs:
                links.beat(link, epochs[link], 7)
                heard[link] = passed
                assert links.living[link].sessions == 7
            case "late beat" if link in epochs:
                links.beat(link, epochs[link] - 1, 7)
            case "end":
                assert links.end(link, epochs.get(link, 0) - 1) is None
                ended = links.end(link, epochs.get(link, offset))
                assert (ended is None) == (link not in epochs)
                epochs.pop(link, None)
                heard.pop(link, None)
        partitions = [known.partition for known in links.living.values()]
        assert len(set(partitions)) == len(partitions)
        assert all(0 <= partition < _PARTITIONS for partition in partitions)
        assert {name: known.epoch for name, known in links.living.items()} == epochs
        silent = {name for name in heard if passed - heard[name] > limits.LINK_TIMEOUT_MS}
        assert {known.link for known in links.silent()} == silent


def test_an_outage_of_the_broker_kills_no_link() -> None:
    links = Links(Rows(Memory()), 4)
    links.pass_time(1_000_000)
    links.register("l", 1, "", "")
    links.pass_time(1_000_000 + 3_600_000)
    assert links.silent() == []


def test_a_new_owner_gives_each_link_a_full_time_out() -> None:
    store = Memory()
    rows = Rows(store)
    links = Links(rows, 4)
    links.register("l", 1, "", "")
    for at in range(0, limits.LINK_TIMEOUT_MS, 1_000):
        links.pass_time(at)
    commit(rows, store)
    links = Links(Rows(store), 4)
    start = limits.LINK_TIMEOUT_MS
    for at in range(start, start + limits.LINK_TIMEOUT_MS + 1, 1_000):
        links.pass_time(at)
        assert links.silent() == []
    links.pass_time(start + limits.LINK_TIMEOUT_MS + 1)
    assert [link.link for link in links.silent()] == ["l"]
