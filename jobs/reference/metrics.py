"""The page of metrics: what each says, what is normal, what to do; and the statuses of a partition."""

from __future__ import annotations

from typing import Final

from jobs.generated import table
from streams.metrics.catalog import COMMON, SECTIONS, Metric
from streams.web.health import STATUSES

_HEAD: Final = f"""\
# Metrics

Each worker serves these under `/metrics` of its views, for Prometheus, without a token. Every one also carries
{" and ".join(f"`{label}`" for label in COMMON)}. `kind` is `groups`, `users`, `links` (served by the users role) or
`sinks`. No label grows with apps, groups or users. How to watch a cluster: [Watching](../operations/metrics.md).

Beside them a worker tells of its process: `process_resident_memory_bytes`, `process_cpu_seconds_total`,
`process_open_fds`, `process_start_time_seconds` and Python's garbage collection.
"""

_STATUSES: Final = """\
## Statuses

What `/health` calls a partition, and the label `status` of `linkcast_lane_status`, from best to worst. A worker is as
well as its worst partition. A paused one says what is away: `paused: Cassandra away`.
"""


def page() -> str:
    """The page."""
    parts = [_HEAD]
    for section, metrics in SECTIONS.items():
        parts += [f"## {section}\n", table(("metric", "says", "normal", "else"), *map(_row, metrics)) + "\n"]
    statuses = ((f"`{status}`", advice) for status, advice in STATUSES.items())
    return "\n".join([*parts, _STATUSES, table(("status", "what to do"), *statuses) + "\n"])


def _row(metric: Metric) -> tuple[str, str, str, str]:
    labels = f" {{{', '.join(metric.labels)}}}" if metric.labels else ""
    return f"`{metric.name}{labels}`", f"{metric.what} ({metric.kind})", metric.normal, metric.act
