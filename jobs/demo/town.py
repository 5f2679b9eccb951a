"""What the very large group cost: one entry a link for each message, whatever the number of members."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rich.table import Table

from jobs.demo.play import Import
from jobs.demo.scenario import TOWN
from jobs.verify.report import Latency
from jobs.verify.world import World
from topics import catalog
from topics.codec import encode
from topics.deliveries import Bound, DeliveryLot, Unbound
from topics.messages import Message


@dataclass(frozen=True, slots=True)
class Figures:
    """As the topics tell it.

    Attributes:
        messages: sent to the group.
        entries: these messages in the deliveries of links.
        due: as many as there should be: one for each link with listeners, for each message.
        bytes: of the entries.
        reached: sessions that heard them, summed up.
        links: that had listeners.
        latency: from a send's append to that of each lot with its message.
    """

    messages: int
    entries: int
    due: int
    bytes: int
    reached: int
    links: int
    latency: Latency | None


def figures(world: World, app: str) -> Figures:
    """Count what the group's deliveries were."""
    listeners: Counter[tuple[str, int]] = Counter()
    seqs: set[int] = set()
    entries = size = reached = 0
    took_ms: list[int] = []
    for row, lot in world.rows(catalog.DELIVERIES):
        for entry in lot.entries if isinstance(lot, DeliveryLot) else ():
            if not isinstance(entry, Bound | Unbound | Message) or (entry.app, entry.group) != (app, TOWN):
                continue
            link = lot.link, lot.epoch
            if isinstance(entry, Message):
                seqs.add(entry.seq)
                entries += 1
                size += len(encode(entry))
                reached += listeners[link]
                took_ms.append(row.at_ms - entry.at)
            else:
                listeners[link] += len(entry.slots) if isinstance(entry, Bound) else -len(entry.slots)
    links = len(+listeners)
    return Figures(len(seqs), entries, len(seqs) * links, size, reached, links, Latency.of(took_ms))


def table(found: Figures, made: Import) -> Table:
    """The same for people."""
    shown = Table(title=f"one group of {made.members:,} members", title_style="bold", title_justify="left", box=None)
    shown.show_header, shown.pad_edge = False, False
    shown.add_column(style="bold")
    shown.add_column(justify="right")
    shown.add_column(style="dim")
    messages, entries = max(found.messages, 1), max(found.entries, 1)
    hear = f"{found.reached / messages:,.0f} sessions"
    per_member = found.bytes / messages / max(made.members, 1)
    rows = [
        ("imported in", f"{made.import_s:.1f} s", f"{made.members / max(made.import_s, 1e-9):,.0f} members a second"),
        ("all online bound", f"{made.bound_s:.1f} s", f"after the last import: {hear} on {found.links} links"),
        ("messages", f"{found.messages:,}", f"each to {made.members:,} members, {hear} of them online"),
        ("entries", f"{found.entries:,}", f"{found.entries / max(found.due, 1):.2f} for each link and message"),
        ("bytes", f"{found.bytes / entries:,.0f}", f"an entry; {per_member:.4f} a member and message"),
    ]
    if (latency := found.latency) is not None:
        rows.append(("append to append", f"p50 {latency.p50_ms:,.0f} ms", f"p99 {latency.p99_ms:,.0f} ms"))
    for row in rows:
        shown.add_row(*row)
    return shown
