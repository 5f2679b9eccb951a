"""The verdict as tables for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group
from rich.table import Table
from rich.text import Text

from jobs.verify.findings import KINDS, RULES
from jobs.verify.report import Latency, Report


def shown(report: Report) -> Group:
    """Counts, latencies, the five faults, and where each was seen."""
    return Group(*_parts(report))


def _parts(report: Report) -> Iterator[Table | Text]:
    yield _counts(report)
    if report.planned:
        yield Text("\nfaults injected on purpose", "bold")
        yield from (Text(f"  {fault}") for fault in report.planned)
    yield Text()
    yield _faults(report)
    for kind, examples in report.examples.items():
        yield Text(f"\n{kind.replace('_', ' ')}", "bold red")
        yield from (Text(f"  {example}") for example in examples)
    if report.rules:
        yield Text()
        yield _rules(report)
    if report.rejects:
        yield Text("\nrejects", "bold")
        yield from (Text(f"  {reject}") for reject in report.rejects)


def _counts(report: Report) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    refused = ", ".join(f"{code} {count:,}" for code, count in sorted(report.refused.items()))
    for name, value, remark in (
        ("sent", report.sent, f"and {report.resends:,} resends"),
        ("accepted", report.accepted, "each once in history"),
        ("refused", sum(report.refused.values()), refused or "answers"),
        ("silent", report.silent, "without an end, as they may be: under way, or nobody waits"),
        ("rejected", report.rejected, "records"),
        ("signals", report.signals, ""),
        ("deliveries", report.deliveries, f"message entries in {report.lots:,} lots"),
        ("notices", report.notices, "of new messages, in place of them"),
        ("recipients", report.reached, "sessions reached, summed up"),
        ("sessions", report.sessions, f"on {report.registrations} registrations of links, in {report.groups} groups"),
    ):
        table.add_row(name, f"{value:,}", remark)
    for name, count in (("in Cassandra", report.stored), ("in Redis", report.cached)):
        table.add_row(name, "not looked at" if count is None else f"{count:,}", "messages")
    table.add_row("append to append", *_latency(report.append_to_append, "send to lot"))
    table.add_row("up to bound", *_latency(report.up_to_bound, "session or membership to lot"))
    table.add_row("message to notice", *_latency(report.to_notice, "where a session hears of it by one"))
    return table


def _latency(latency: Latency | None, what: str) -> tuple[str, str]:
    if latency is None:
        return "-", what
    return f"p50 {latency.p50_ms:,.0f} ms", f"p99 {latency.p99_ms:,.0f} ms, max {latency.max_ms:,.0f} ms; {what}"


def _faults(report: Report) -> Table:
    table = Table(*(kind.replace("_", " ") for kind in KINDS), title_style="bold")
    counts = [report.faults.get(kind, 0) for kind in KINDS]
    table.add_row(*(f"[{'red' if count else 'green'}]{count:,}[/]" for count in counts))
    return table


def _rules(report: Report) -> Table:
    table = Table("rule", "times", "what it means", box=None, header_style="bold", pad_edge=False)
    for rule, count in report.rules.items():
        table.add_row(rule, f"{count:,}", RULES[rule][1])
    return table
