"""Every limit with its value and the comment that stands at its definition: for the docs."""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from jobs.problem import Problem
from topics import limits

_KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    Attributes:
        name: its name in `topics/limits.py`; ends in its unit.
        value: how much.
        meaning: the comment beside it.
        section: the comment above it and those around it.
    """

    name: str
    value: float
    meaning: str
    section: str

    @property
    def shown(self) -> str:
        """The value with digits in groups, and in KiB or MiB where it counts bytes."""
        plain = f"{self.value:,}".replace(",", " ")
        if not self.name.endswith("_BYTES") or self.value < _KIB:
            return plain
        return (
            f"{plain} ({self.value / _KIB**2:g} MiB)"
            if self.value >= _KIB**2
            else f"{plain} ({self.value / _KIB:g} KiB)"
        )


@cache
def all_limits() -> dict[str, Limit]:
    """Every limit, by name, in the order of the source.

    Raises:
        Problem: one has no comment, or stands in no section.
    """
    source = inspect.getsource(limits)
    comments = {
        token.start[0]: (token.start[1], token.string.lstrip("# "))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    return {limit.name: limit for limit in _read(source, comments)}


def _read(source: str, comments: dict[int, tuple[int, str]]) -> Iterator[Limit]:
    lines = {line: text for line, (column, text) in comments.items() if column == 0}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        beside = [comments[line][1] for line in range(node.lineno, (node.end_lineno or 0) + 1) if line in comments]
        above = [text for line, text in lines.items() if line < node.lineno]
        if not beside or not above:
            raise Problem(f"topics/limits.py does not say what {node.target.id} means, or in which section it stands")
        yield Limit(node.target.id, getattr(limits, node.target.id), " ".join(beside), above[-1])
