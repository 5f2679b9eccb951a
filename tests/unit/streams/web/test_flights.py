"""Equal questions share an answer while one is under way; later ones, and others, get their own."""

from __future__ import annotations

import asyncio
from typing import cast

import aiohttp
import pytest

from streams.web.flights import Flights
from streams.web.of_groups import GroupAsk, LinkMapAsk
from streams.web.owner import Here, OwnerClient
from streams.web.owners import Directory
from streams.web.problems import ProblemError
from streams.web.tokens import Claims
from tests.views import TOKENS
from topics.owners import Owner


class _Slow:
    """An owner that answers when told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.fails = False

    async def ask(self, *question: object) -> bytes:
        del question
        self.asked += 1
        number = self.asked
        await self.may_answer.wait()
        if self.fails:
            raise ProblemError("unknown_group")
        return b"%d" % number


async def test_questions_on_the_way_share_an_answer_and_later_ones_get_a_new_one() -> None:
    slow, flights = _Slow(), Flights()
    asking = [asyncio.create_task(flights.share("q", slow.ask())) for _ in range(5)]
    other = asyncio.create_task(flights.share("other", slow.ask()))
    await asyncio.sleep(0)
    asking[0].cancel()  # who gives up takes it from nobody
    slow.may_answer.set()
    assert await asyncio.gather(*asking[1:]) == [b"1"] * 4
    assert await other == b"2"
    assert await flights.share("q", slow.ask()) == b"3"
    assert len(flights) == 0


async def test_a_problem_is_shared_too_and_is_not_remembered() -> None:
    slow, flights = _Slow(), Flights()
    slow.fails = True
    slow.may_answer.set()
    found = await asyncio.gather(*(flights.share("q", slow.ask()) for _ in range(3)), return_exceptions=True)
    assert [str(one) for one in found] == ["unknown_group"] * 3
    slow.fails = False
    assert await flights.share("q", slow.ask()) == b"2"


@pytest.mark.parametrize(
    ("asks", "asked"),
    [
        ([LinkMapAsk("app", "g", 3)] * 4, 1),
        ([LinkMapAsk("app", "g", 3), LinkMapAsk("app", "g", 4), LinkMapAsk("app", "h", 3)], 3),
        ([GroupAsk("app", "g")] * 2, 2),
    ],
    ids=["equal", "different", "not of a kind that shares"],
)
@pytest.mark.parametrize("askers", [1, 2])
async def test_one_reader_refreshing_a_link_map_from_many_places_costs_one_answer(
    asks: list[LinkMapAsk | GroupAsk], asked: int, askers: int
) -> None:
    slow, directory = _Slow(), Directory()
    directory.owner(Owner("groups", 0, "http://here"))
    http = cast("aiohttp.ClientSession", None)  # the owner is here: nothing is sent
    client = OwnerClient(1, directory, cast("Here", slow), lambda: "http://here", TOKENS, http)
    asking = [
        asyncio.create_task(client.ask(ask, Claims("app", "user", f"u{i}"))) for ask in asks for i in range(askers)
    ]
    await asyncio.sleep(0.01)
    assert slow.asked == asked * askers
    slow.may_answer.set()
    await asyncio.gather(*asking)
