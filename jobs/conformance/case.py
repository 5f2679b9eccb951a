"""A case: one rule of the contract, as something that is done to a gateway and what must follow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from jobs.conformance.scene import Scene

Play = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Case:
    """One rule.

    Attributes:
        name: what it is called.
        rule: the sentence of docs/contract/README.md that it checks, word by word.
        todo: what a gateway writer does who failed it.
        play: does it.
        restarts: whether it needs a broker that may be restarted.
    """

    name: str
    rule: str
    todo: str
    play: Play
    restarts: bool = False


_CASES: Final[dict[str, Case]] = {}


def case(name: str, rule: str, todo: str, *, restarts: bool = False) -> Callable[[Play], Play]:
    """Adds a case that is played by the function below."""

    def add(play: Play) -> Play:
        _CASES[name] = Case(name, rule, todo, play, restarts)
        return play

    return add


def cases_of(*modules: ModuleType) -> dict[str, Case]:
    """The cases of these modules, in their order, by name."""
    names = [module.__name__ for module in modules]
    found = sorted(_CASES.values(), key=lambda case: names.index(case.play.__module__))
    return {case.name: case for case in found}
