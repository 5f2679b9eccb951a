"""Whatever each place holds, lost or kept or spoilt: a page is exactly right, or it is refused."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from streams.sinks.patience import AwayError
from streams.web.pages import ChannelId, Window
from streams.web.problems import ProblemError
from streams.web.reader import MessageReader, Recent
from streams.web.tokens import Claims
from topics import limits
from topics.codec import encode
from topics.messages import Message

CHANNEL = ChannelId("app", "g", "main")
ASKER = Claims("app", "gateway", "gw")
MOST = 12


def message(seq: int, *, group: str = "g", prev: int | None = None) -> bytes:
    prev = seq - 1 if prev is None else prev
    return encode(
        Message("app", group, "main", seq, prev, seq, 1, 1, "ann", "phone", f"c{seq}", 1_000 + seq, Raw(b'"hi"'))
    )


@dataclass
class Place:
    """A store, or the end of the topic: what it holds, and whether it answers."""

    held: dict[int, bytes]
    away: bool = False
    asked: list[tuple[int, int]] = field(default_factory=list)

    async def read(self, *where: object) -> dict[int, bytes]:
        low, high = where[-2:]
        assert isinstance(low, int)
        assert isinstance(high, int)
        self.asked.append((low, high))
        if self.away:
            raise AwayError("it", "gone")
        return {seq: encoded for seq, encoded in self.held.items() if low <= seq <= high}


@dataclass
class Owner:
    """The owner's memory."""

    head: int
    held: dict[int, bytes]
    floor: int = 0

    async def recent(self, channel: ChannelId, window: Window, asker: Claims) -> Recent:
        assert (channel, asker) == (CHANNEL, ASKER)
        span = window.span(self.head, self.floor)
        return Recent(self.head, {seq: self.held[seq] for seq in span if seq in self.held}, self.floor)


@dataclass
class Watermark:
    """How far history is stored."""

    known: bool = True
    at: int | None = None

    def offset(self, partition: int) -> int | None:
        assert partition == 0
        if not self.known:
            raise AwayError("kafka", "not read yet")
        return self.at


spoilt = st.sampled_from((b"", b"{}", message(3, group="other"), message(3, prev=1), message(4)))


def held(head: int) -> st.SearchStrategy[dict[int, bytes]]:
    """Any of a channel's messages, some of them spoilt."""
    right = st.sets(st.integers(1, head)).map(lambda seqs: {seq: message(seq) for seq in seqs}) if head else st.just({})
    return st.builds(lambda good, bad: bad | good, right, st.dictionaries(st.just(3), spoilt))


windows = st.builds(
    lambda limit, end, seq: Window(limit, **{end: seq} if end else {}),
    st.integers(1, MOST + 2),
    st.sampled_from(("", "before", "after")),
    st.integers(0, MOST + 3),
)


@st.composite
def places(draw: st.DrawFn) -> tuple[int, list[Place], Watermark]:
    head = draw(st.integers(0, MOST))
    found = [Place(draw(held(head)), draw(st.booleans()) and draw(st.booleans())) for _ in range(4)]
    return head, found, Watermark(draw(st.sampled_from((True, True, True, False))))


def wanted(window: Window, head: int, floor: int) -> list[int]:
    """The oracle: all seqs of the channel's life of now, and the asked ones of them by counting."""
    everything = list(range(floor + 1, head + 1))
    if window.after is not None:
        return [seq for seq in everything if seq > window.after][: window.limit]
    return [seq for seq in everything if window.before is None or seq < window.before][-window.limit :]


@given(places(), windows, st.integers(0, MOST))
async def test_a_page_is_right_or_refused(
    drawn: tuple[int, list[Place], Watermark], window: Window, most_floor: int
) -> None:
    head, (memory, cache, table, tail), watermark = drawn
    floor = min(most_floor, head)
    reader = MessageReader(1, Owner(head, memory.held, floor), cache, table, tail, watermark)
    seqs = wanted(window, head, floor)
    readable = [memory.held, *(place.held for place in (cache, table) if not place.away)]
    if watermark.known and not tail.away:
        readable.append(tail.held)
    there = {seq for place in readable for seq, encoded in place.items() if encoded == message(seq)}
    if not set(seqs) <= there:
        with pytest.raises(ProblemError) as caught:
            await reader.page(CHANNEL, window, ASKER)
        assert caught.value.code == "not_stored_yet"
        return
    pulled = await reader.page(CHANNEL, window, ASKER)
    assert pulled.messages == [message(seq) for seq in seqs]
    assert (pulled.head, pulled.first) == (head, floor + 1 if head > floor else 0)
    beyond = set(range(floor + 1, head + 1)) - set(seqs)
    after = window.after is not None
    before = head + 1 if window.before is None else window.before
    passed = {seq for seq in beyond if (seq <= (window.after or 0) if after else seq >= before)}
    assert pulled.more == bool(beyond - passed)


async def test_what_the_nearest_places_have_is_not_asked_of_the_others() -> None:
    memory = {seq: message(seq) for seq in (9, 10)}
    cache, table, tail = Place({seq: message(seq) for seq in (7, 8)}), Place({6: message(6)}), Place({})
    reader = MessageReader(1, Owner(10, memory), cache, table, tail, Watermark())
    assert len((await reader.page(CHANNEL, Window(2), ASKER)).messages) == 2
    assert cache.asked == table.asked == tail.asked == []
    assert len((await reader.page(CHANNEL, Window(5), ASKER)).messages) == 5
    assert (cache.asked, table.asked, tail.asked) == ([(6, 8)], [(6, 6)], [])


async def test_a_message_that_is_stored_while_we_look_is_not_missed() -> None:
    """The sinks store it after Cassandra was asked, and say so before the topic is read."""
    watermark, history = Watermark(at=40), {40: 1}

    class Table(Place):
        async def read(self, *where: object) -> dict[int, bytes]:
            found = await super().read(*where)
            watermark.at = 41
            return found

    class Tail(Place):
        async def read(self, *where: object) -> dict[int, bytes]:
            offset = where[1]
            assert isinstance(offset, int)
            return {seq: message(seq) for at, seq in history.items() if at >= offset}

    reader = MessageReader(1, Owner(1, {}), Place({}), Table({}), Tail({}), watermark)
    assert (await reader.page(CHANNEL, Window(1), ASKER)).messages == [message(1)]


@pytest.mark.parametrize("head", [0, 1, 5])
async def test_a_client_that_has_all_gets_an_empty_page(head: int) -> None:
    reader = MessageReader(1, Owner(head, {}), Place({}), Place({}), Place({}), Watermark())
    pulled = await reader.page(CHANNEL, Window(limits.PULL_MESSAGES, after=head), ASKER)
    assert (pulled.messages, pulled.head, pulled.more) == ([], head, False)
