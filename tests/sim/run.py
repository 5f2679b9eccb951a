"""One seed from its first step to the judgement."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.sim.gateway import BrokenRuleError
from tests.sim.oracle import judge
from tests.sim.world import World, small_limits

STEPS: Final = 600


@dataclass(frozen=True)
class Done:
    """How a seed went.

    Attributes:
        broken: which rule did not hold, and how to see it again; None if all did.
        faults: what happened on the way, counted.
    """

    broken: str | None
    faults: Counter[str]


def run(seed: int, steps: int = STEPS, trace: Callable[[str], None] | None = None) -> Done:
    """The world of a seed: so many turns, rest, judgement."""
    broken = None
    with small_limits():
        world = World(seed, trace)
        try:
            world.run(steps)
            judge(world)
        except BrokenRuleError as error:
            broken = str(error)
        except Exception:  # noqa: BLE001 - whatever a core raises outside of a record is a broken rule too
            broken = traceback.format_exc()
    for gateway in world.gateways:
        world.faults.update(gateway.seen)
    if broken is not None:
        broken += f"\nreplay: python -m tests.sim --seed {seed} --steps {steps} --trace"
    return Done(broken, world.faults)
