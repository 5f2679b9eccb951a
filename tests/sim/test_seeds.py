"""Hundreds of worlds, each from one seed: every rule holds, and every planned kind of fault did happen."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Final

import pytest

from tests.sim.run import Done, run

_SEEDS: Final = 300
_A_TIME: Final = 20

#: Each must have happened somewhere in all of these worlds; else the simulator no longer shows what it claims to.
_PLANNED: Final = (
    *(f"crash before {step}" for step in ("fence", "changelog end", "recover", "offsets", "core", "fetch", "await")),
    *(f"crash before {step}" for step in ("begin", "send", "send rows", "send offsets", "commit", "store", "settle")),
    *(f"frozen before {step}" for step in ("begin", "send", "send offsets", "commit", "store")),
    *("zombie fenced", "rebalance", "send failed", "unknown failed", "apply overlaps a commit", "handler raised"),
    *("store lost", "store stale", "compacted", "rows recovered", "bad record"),
    *("gateway frozen", "gateway restarted", "gateway left", "void read", "registered", "resumed elsewhere"),
    *("lot lost", "resync asked", "reset", "resend", "sessions doubled", "relations doubled", "links doubled"),
)


@cache
def _done(seed: int) -> Done:
    return run(seed)


@pytest.mark.parametrize("first", range(0, _SEEDS, _A_TIME))
def test_every_rule_holds_in_the_world_of_a_seed(first: int) -> None:
    done = {seed: _done(seed) for seed in range(first, first + _A_TIME)}
    broken = [f"seed {seed}: {one.broken}" for seed, one in done.items() if one.broken]
    assert not broken, "\n\n".join(broken)


def test_every_planned_fault_happened() -> None:
    happened: Counter[str] = Counter()
    for seed in range(_SEEDS):
        happened.update(_done(seed).faults)
    assert not [fault for fault in _PLANNED if not happened[fault]]


def test_a_seed_is_the_same_world_each_time() -> None:
    told: tuple[list[str], list[str]] = ([], [])
    for lines in told:
        run(11, steps=150, trace=lines.append)
    assert told[0] == told[1] != []
