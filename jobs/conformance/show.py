"""Verdicts for people: a table, then what went wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from jobs.conformance.case import Case
from jobs.conformance.run import Verdict, broken

_COLOURS: Final = {"kept": "green", "broken": "red", "not checked": "yellow"}


def table_of(verdicts: Iterable[Verdict]) -> Table:
    """One line a case."""
    table = Table("case", "verdict", "s", "the contract says", box=None, header_style="bold", pad_edge=False)
    for verdict in verdicts:
        colour = _COLOURS[verdict.outcome]
        rule = Text(verdict.rule, style="dim", overflow="ellipsis", no_wrap=True)
        table.add_row(verdict.case, f"[{colour}]{verdict.outcome}[/]", f"{verdict.seconds:.1f}", rule)
    return table


def shown(verdicts: Sequence[Verdict]) -> RenderableType:
    """The table, then each broken rule with what was expected and seen, then the sum."""
    parts: list[RenderableType] = [table_of(verdicts)]
    wrong = broken(verdicts)
    for verdict in wrong:
        parts.append(Text.from_markup(f"\n[bold red]{verdict.case}[/]"))
        lines = [("contract", verdict.rule), ("expected", verdict.expected), ("seen", verdict.seen)]
        lines += [("to do", verdict.todo)] + ([("its log", verdict.log)] if verdict.log else [])
        about = Table(box=None, show_header=False, pad_edge=False)
        for name, text in lines:
            about.add_row(f"  [dim]{name}[/]", escape(text))
        parts.append(about)
    kept = sum(verdict.outcome == "kept" for verdict in verdicts)
    unchecked = len(verdicts) - kept - len(wrong)
    more = f", {unchecked} not checked" if unchecked else ""
    colour = "red" if wrong else "green"
    parts.append(Text.from_markup(f"\n[bold {colour}]{kept} of {len(verdicts)} rules kept[/]{more}"))
    return Group(*parts)


def listed(cases: Iterable[Case]) -> Table:
    """The cases and their rules."""
    table = Table("case", "the contract says", box=None, header_style="bold", pad_edge=False)
    for case in cases:
        table.add_row(case.name, Text(case.rule))
    return table
