"""The final state beside the views, group by group; what differs, and what to do about it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobs.final.asked import ViewReader
from jobs.final.state import Difference, GroupId, GroupState, compare
from jobs.final.stored import FinalReader
from jobs.problem import Problem

_AGAIN_S: Final = 0.5


@dataclass
class Verdict:
    """What was found.

    Attributes:
        groups: how many groups were compared.
        things: how many things of them.
        behind: groups whose final state has not caught up: (group, version stored, version told).
        differences: where both are of one version and differ.
    """

    groups: int = 0
    things: int = 0
    behind: list[tuple[GroupId, int, int]] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing differs."""
        return not self.behind and not self.differences


async def judge_relations(
    stored: FinalReader, asked: ViewReader, only: Sequence[GroupId], wait_s: float, tell: Callable[[int, int], None]
) -> Verdict:
    """Compare these groups, or all that live; one that is behind is waited for.

    Raises:
        Problem: there is no such group.
    """
    verdict = Verdict()
    until = time.monotonic() + wait_s
    groups = list(only) or await asyncio.to_thread(stored.groups)
    for number, group in enumerate(groups):
        tell(number, len(groups))
        if not await _judge(verdict, group, stored, asked, until) and only:
            raise Problem(f"There is no group {group}: neither the final state nor the views know it.")
    return verdict


async def _judge(verdict: Verdict, group: GroupId, stored: FinalReader, asked: ViewReader, until: float) -> bool:
    """Compare one group; False: there is none, or no more."""
    while True:
        told = await asked.read(group)  # first: what is stored after that is at least as new
        kept = await asyncio.to_thread(stored.read, group)
        if told is None and kept is None:
            return False
        ours, theirs = kept or GroupState(0), told or GroupState(0)
        differences = list(compare(group, ours, theirs))
        if (ours.version == theirs.version and not differences) or time.monotonic() > until:
            break
        await asyncio.sleep(_AGAIN_S)
    verdict.groups += 1
    verdict.things += len(theirs.things)
    if ours.version != theirs.version:
        verdict.behind.append((group, ours.version, theirs.version))
    else:
        verdict.differences += differences
    return True


def shown(verdict: Verdict, examples: int) -> RenderableType:
    """The verdict for people."""
    parts: list[RenderableType] = [Text(f"{verdict.groups:,} groups compared, {verdict.things:,} things of them.")]
    if verdict.behind:
        table = Table("group", "stored", "told", title="not caught up", title_style="bold red")
        for group, ours, theirs in verdict.behind[:examples]:
            table.add_row(str(group), f"{ours:,}", f"{theirs:,}")
        parts += [table, Text("Do the sinks run? They say so at /ready. What they rejected stands in `rejects`.")]
    if verdict.differences:
        table = Table("group", "what", "final state", "views", title="different", title_style="bold red")
        for one in verdict.differences[:examples]:
            table.add_row(str(one.group), " ".join(one.thing), _said(one.stored), _said(one.asked))
        if (more := len(verdict.differences) - examples) > 0:
            table.add_row(f"and {more:,} more", "", "", "")
        parts += [
            table,
            Text(
                "The views are right: they tell the metadata. Did somebody change rows by hand, or did a node lose "
                "some? Run `nodetool repair`, or restore these tables from a backup, and verify again. What was "
                "written since is written anew by the sinks when their group's offsets of relation-events and "
                "channel-members are set back: rows carry the group's version as their timestamp, so nothing newer "
                "is lost. See docs/final-state.md."
            ),
        ]
    if verdict.good:
        parts.append(Text("The final state says what the views say.", "green"))
    return Group(*parts)


def _said(what: object) -> str:
    if what is None:
        return "-"
    return "there" if what is True else str(what)
