"""The kit has teeth: the example gateway keeps every rule, and whoever breaks one is caught by the case for it."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.console import Console

from jobs.conformance.cases import CASES
from jobs.conformance.command import bouncing, broker, played_on
from jobs.conformance.run import Kit, Verdict
from jobs.services import Services
from streams.settings import load
from tests.conformance.broken import VARIANTS

AT_ONCE = 6
GOOD_PATIENCE_S = 30.0  # whoever keeps the rules never uses it up, unless the machine stands still
PATIENCE_S = 6.0  # whoever breaks one does
GOOD = [sys.executable, "-m", "examples.gateway.driver"]


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with broker(load(None), tmp_path_factory.mktemp("conformance"), Console(quiet=True)) as services:
        yield services


@asynccontextmanager
async def kit_of(own_broker: Services, folder: Path, patience_s: float) -> AsyncIterator[Kit]:
    await asyncio.to_thread(own_broker.start, "kafka")  # a test that failed may have left it stopped
    played = await asyncio.to_thread(played_on, own_broker.settings)
    kit = Kit(played, folder, patience_s, bouncing(own_broker))
    async with kit.opened():
        yield kit


async def test_the_example_gateway_keeps_every_rule(own_broker: Services, tmp_path: Path) -> None:
    async with kit_of(own_broker, tmp_path, GOOD_PATIENCE_S) as kit:
        verdicts = await kit.judge(GOOD, list(CASES.values()), AT_ONCE)
    assert [verdict for verdict in verdicts if verdict.outcome != "kept"] == []


async def test_whoever_breaks_a_rule_is_caught_by_its_case(own_broker: Services, tmp_path: Path) -> None:
    async with kit_of(own_broker, tmp_path, PATIENCE_S) as kit:
        verdicts = await verdicts_on_variants(kit)
    assert [variant.__name__ for variant, verdict in verdicts.items() if verdict.outcome != "broken"] == []
    for verdict in verdicts.values():
        assert verdict.expected
        assert verdict.seen
        assert not re.findall(r".*\n.*\b(?:Import|Name|Attribute|Type)Error\b.*", verdict.log)


async def verdicts_on_variants(kit: Kit) -> dict[Callable[[], None], Verdict]:
    turns = asyncio.Semaphore(AT_ONCE)

    async def judged(variant: Callable[[], None], case: str) -> Verdict:
        async with turns:
            return await kit.verdict([sys.executable, "-m", "tests.conformance.broken", variant.__name__], CASES[case])

    quiet = {variant: case for variant, case in VARIANTS.items() if not CASES[case].restarts}
    verdicts = dict(zip(quiet, await asyncio.gather(*(judged(*one) for one in quiet.items())), strict=True))
    for variant, case in VARIANTS.items():
        if CASES[case].restarts:
            verdicts[variant] = await judged(variant, case)
    return verdicts


def test_every_case_catches_somebody() -> None:
    assert set(VARIANTS.values()) == set(CASES)
