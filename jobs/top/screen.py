"""Draws a cluster on one screen: the wider it is, the more it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from jobs.top.figures import DEAD, Figures, Lane, Link, Store, Worker, rank
from streams.web.health import STATUSES, base

_STYLES: Final[Mapping[str, str]] = {
    "serving": "green",
    "waiting": "yellow",
    "recovering": "cyan",
    "paused": "yellow",
    "stuck": "bold red",
    "fenced": "red",
    DEAD: "bold red",
}
_BARS: Final = " ▁▂▃▄▅▆▇█"
_NOTHING: Final = "\N{EN DASH}"
_WIDE: Final = 100
_STATUS: Final = max(map(len, STATUSES))
_LEAST, _MOST = 6, 24  # a cell's columns: what a number takes, what a text may
_LINKS: Final = 8
_LANES: Final = 4
_REASONS: Final = 6
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table of workers.

    Attributes:
        title: its heading.
        cell: what stands there.
        from_width: screens narrower than this leave it out.
        right: whether it is aligned to the right; such a column is never cut.
        least: columns that it takes at least, where it is not.
    """

    title: str
    cell: Callable[[Worker], Text | str]
    from_width: int = 0
    right: bool = True
    least: int | None = None


def screen(now: Figures, width: int, trend: Sequence[float] = (), keys: str = "") -> RenderableType:
    """The whole screen.

    Args:
        now: what is to be shown.
        width: columns of the terminal.
        trend: messages a second of late, the newest last.
        keys: what can be pressed.
    """
    parts: list[RenderableType] = [_head(now, keys), _rates(now, width, trend), _workers(now.workers, width)]
    if troubles := _troubles(now):
        parts.append(Panel(Group(*troubles), title="What is the matter", title_align="left", border_style="yellow"))
    panels = [_links(now), _stores(now), _refusals(now)]
    parts.append(_beside(panels) if width >= _WIDE else Group(*panels))
    return Group(*parts)


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=_STYLES[status if status == DEAD else base(status)])


def count(value: float) -> str:
    """A number in at most five characters."""
    for limit, divisor, unit in ((1e4, 1, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M"), (1e12, 1e9, "G")):
        if abs(value) < limit:
            shown = value / divisor
            return f"{shown:,.0f}{unit}" if not unit or shown >= 100 else f"{shown:.1f}{unit}"  # noqa: PLR2004 - digits
    return f"{value:.0e}"


def span(seconds: float | None) -> str:
    """A time in at most six characters."""
    if seconds is None:
        return _NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    return f"{seconds / _MINUTE_S:.0f} min" if seconds < _HOUR_S else f"{seconds / _HOUR_S:.0f} h"


def spark(values: Sequence[float]) -> str:
    """Values as bars, the highest of them full."""
    top = max(values, default=0.0)
    steps = len(_BARS) - 1
    return "".join(_BARS[0 if top <= 0 else max(value > 0, round(value / top * steps))] for value in values)


def _beside(panels: Sequence[RenderableType]) -> RenderableType:
    grid = Table.grid(expand=True)
    for _ in panels:
        grid.add_column(ratio=1)
    grid.add_row(*panels)
    return grid


def _head(now: Figures, keys: str) -> RenderableType:
    alive = sum(worker.status != DEAD for worker in now.workers)
    left = Text.assemble(
        ("Linkcast ", "bold"), "cluster ", (now.cluster, "bold cyan"), f"  {alive} of {len(now.workers)} workers  "
    )
    left.append_text(status_text(now.status))
    if not now.kafka:
        left.append("  Kafka does not answer", style="bold red")
    right = Text(keys, style="dim")
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1)
    grid.add_column(justify="right")
    grid.add_row(left, right)
    return grid


def _rates(now: Figures, width: int, trend: Sequence[float]) -> RenderableType:
    told = Text()
    for value, what in (
        (count(now.messages_per_s), "messages/s"),
        (count(now.entries_per_s), "entries to links/s"),
        (count(now.notices_per_s), "unread notices/s"),
        (f"{count(now.bytes_per_s)}B", "out/s"),
        (count(now.lag), "lag"),
        (_NOTHING if now.links is None else count(len(now.links)), "links"),
        (count(now.sessions), "sessions"),
    ):
        told.append(value, style="bold").append(f" {what}   ", style="dim")
    room = width - told.cell_len
    if room > 0:
        told.append(spark(trend[-min(room, _MINUTE_S) :]), style="cyan")
    return told


def _workers(workers: Sequence[Worker], width: int) -> RenderableType:
    if not workers:
        return Panel(
            "No worker is known and none answers on this machine's view ports.\nStart them with: linkcast run",
            border_style="red",
        )
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False, header_style="dim")
    shown = [column for column in _COLUMNS if width >= column.from_width]
    for column in shown:
        least = max(_LEAST, len(column.title)) if column.right else column.least
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.title, justify=justify, no_wrap=True, min_width=least, max_width=_MOST)
    for worker in workers:
        dead = worker.status == DEAD
        cells = (_NOTHING if dead and column.right else column.cell(worker) for column in shown)
        table.add_row(*cells, style="dim" if dead else "")
    return table


def _short(status: str) -> Text:
    """Without what is away: that stands below, with the reason."""
    return Text(status.partition(":")[0], style=status_text(status).style)


def _partitions(worker: Worker) -> str:
    """`0-3`, or by kind where there are several."""
    told = [(kind, _runs(partitions)) for kind, partitions in worker.partitions.items()]
    return " ".join(runs if kind == worker.role else f"{kind} {runs}" for kind, runs in told) or "none"


def _runs(numbers: Sequence[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _ms(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.1f}"


def _hot(value: float, shown: str, warn: float, bad: float) -> Text:
    return Text(shown, style="bold red" if value >= bad else "yellow" if value >= warn else "")


_COLUMNS: Final = (
    _Column("worker", lambda worker: Text(worker.role, style="bold"), right=False),
    _Column("at", lambda worker: worker.url.removeprefix("http://"), 92, right=False),
    _Column("status", lambda worker: _short(worker.status), right=False, least=_STATUS),
    _Column("partitions", _partitions, 138, right=False),
    _Column("records/s", lambda worker: count(worker.records_per_s), 164),
    _Column("msg/s", lambda worker: count(worker.messages_per_s)),
    _Column("entries/s", lambda worker: count(worker.entries_per_s), 104),
    _Column("lag", lambda worker: _hot(worker.lag, count(worker.lag), 5_000, 50_000)),
    _Column("oldest", lambda worker: _hot(worker.oldest_s, span(worker.oldest_s or None), 1, 5)),
    _Column("batch ms", lambda worker: _ms(worker.batch_ms), 150),
    _Column("tx ms", lambda worker: _ms(worker.transaction_ms), 70),
    _Column("aborts", lambda worker: _hot(worker.aborts, count(worker.aborts), 1, 10), 112),
    _Column("CPU", lambda worker: f"{worker.cpu:.0%}", 120),
    _Column("RSS", lambda worker: f"{count(worker.rss_mb)}M", 60),
)


def _troubles(now: Figures) -> list[RenderableType]:
    """The worst first: who, since when, why, and once for each status what to do."""
    lines: list[RenderableType] = []
    for worker in sorted(now.workers, key=lambda one: -rank(one.status)):
        alike: dict[tuple[str, str | None], list[Lane]] = {}
        for lane in worker.troubled:
            alike.setdefault((lane.status, lane.why), []).append(lane)
        told = [_trouble(lanes) for lanes in alike.values()]
        lines += told[:_LANES]
        if (left := len(told) - _LANES) > 0:
            lines.append(Text(f"and {left} more", style="dim"))
        if worker.status == DEAD:
            line = Text.assemble((f"{worker.role} ", "bold"), status_text(DEAD), overflow="ellipsis", no_wrap=True)
            lines.append(line.append(f" at {worker.url}: does not answer; it had {_partitions(worker)}", style="dim"))
        if worker.status == DEAD or worker.troubled:
            advice = Text(f"  → {worker.next}", style="cyan")
            if advice in lines:  # the same for several: once, below the last of them
                lines.remove(advice)
            lines.append(advice)
    return lines


def _trouble(lanes: Sequence[Lane]) -> Text:
    """Partitions of one worker that are in the same trouble."""
    first = lanes[0]
    kind = first.name.partition("/")[0]
    numbers = _runs(sorted(int(lane.name.rpartition("/")[2]) for lane in lanes))
    line = Text.assemble((f"{kind}/{numbers} ", "bold"), status_text(first.status), overflow="ellipsis", no_wrap=True)
    longest = max((lane.for_s for lane in lanes if lane.for_s is not None), default=None)
    line.append(f" for {span(longest)}" if longest is not None else "")
    reads = [lane.read for lane in lanes if lane.read is not None]
    line.append(f", {min(reads):.0%} read" if reads else "")
    return line.append(f": {first.why}" if first.why else "", style="dim")


def _links(now: Figures) -> RenderableType:
    if now.links is None:
        return Panel(Text("nobody could tell", style="dim"), title="Links", title_align="left")
    table = Table.grid(padding=(0, 2))
    for link in sorted(now.links, key=lambda one: (-one.sessions, one.link))[:_LINKS]:
        table.add_row(Text(link.link, style="bold"), link.region, f"{count(link.sessions)} sessions", _silence(link))
    told: list[RenderableType] = [table] if now.links else [Text("none", style="dim")]
    if notes := _listening(now):
        told.append(notes)
    if (left := len(now.links) - _LINKS) > 0:
        told.append(Text(f"and {left} more", style="dim"))
    return Panel(Group(*told), title="Links", title_align="left")


def _listening(now: Figures) -> Text | None:
    """Why some hear notices in place of messages; None if there is nothing to say."""
    found = [
        (now.links_overrun, "overrun: to begin anew", "bold red"),
        (now.links_slow, "slow: notices in place of messages", "yellow"),
        (now.bursts, "channels in a burst", "cyan"),
    ]
    notes = [(f"{times} {what}", style) for times, what, style in found if times]
    return Text("\n").join(Text(what, style=style) for what, style in notes) if notes else None


def _silence(link: Link) -> Text:
    return _hot(link.silent_s, f"heard {span(link.silent_s)} ago", 3, 8)


def _stores(now: Figures) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column(no_wrap=True)
    table.add_row("", "", Text("write", style="dim"), Text("read", style="dim"))
    for store in now.stores:
        times = (f"{_ms(store.write_ms)} ms", f"{_ms(store.read_ms)} ms")
        table.add_row(Text(store.store.capitalize(), style="bold"), _store_state(store), *times)
    ago = "nothing is stored yet" if now.kafka else "what is stored stands in Kafka"
    if now.stored_ago_s is not None:
        ago = f"newest stored {span(now.stored_ago_s)} ago"
    return Panel(Group(table, Text(ago, style="dim")), title="Stores", title_align="left")


def _store_state(store: Store) -> Text:
    if store.waiting:
        return Text("away", style="bold red")
    return Text("answers" if store.write_ms is not None or store.read_ms is not None else "not asked", style="green")


def _refusals(now: Figures) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for title, found, style in (("rejected", now.rejects, "red"), ("refused", now.refused, "yellow")):
        for reason, times in list(found.items())[:_REASONS]:
            table.add_row(Text(title, style=style), reason, count(times))
    some = bool(now.rejects or now.refused)
    return Panel(table if some else Text("none", style="green"), title="Rejects and refusals", title_align="left")
