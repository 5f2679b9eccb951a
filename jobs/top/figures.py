"""What a screen shows, reckoned from two looks. Also what `--json` prints, so the names are for scripts too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from jobs.top.samples import Passed, Samples
from jobs.top.sight import Health, Sight, WorkerSight
from streams.web.health import STATUSES, base

#: What a worker is called that `owners` names and that does not answer.
DEAD = "dead"
_STORES = ("cassandra", "redis")
_LISTENING = ("linkcast_bursts", "linkcast_links_slow", "linkcast_links_overrun")


class Lane(msgspec.Struct, frozen=True):
    """A partition that a worker does not serve as it should."""

    name: str
    status: str
    for_s: float | None
    why: str | None
    read: float | None


class Worker(msgspec.Struct, frozen=True):
    """A worker.

    Attributes:
        url: where it was asked.
        role: its role.
        status: its worst partition's, or dead.
        for_s: for how long.
        next: what to do.
        partitions: those it has, by kind.
        records_per_s: input records a second.
        messages_per_s: messages numbered, or by the sinks stored, a second.
        entries_per_s: entries to links a second.
        bytes_per_s: bytes written a second.
        lag: offsets not yet taken.
        oldest_s: age of the oldest record not committed.
        batch_ms: mean time of a batch, all steps.
        transaction_ms: mean time of a transaction.
        aborts: since it was started.
        rejects: since it was started.
        rss_mb: its memory.
        cpu: processors used.
        troubled: its partitions that do not serve.
    """

    url: str
    role: str
    status: str
    for_s: float | None
    next: str
    partitions: dict[str, list[int]]
    records_per_s: float = 0.0
    messages_per_s: float = 0.0
    entries_per_s: float = 0.0
    bytes_per_s: float = 0.0
    lag: int = 0
    oldest_s: float = 0.0
    batch_ms: float | None = None
    transaction_ms: float | None = None
    aborts: int = 0
    rejects: int = 0
    rss_mb: float = 0.0
    cpu: float = 0.0
    troubled: Sequence[Lane] = ()


class Link(msgspec.Struct, frozen=True):
    """A living link."""

    link: str
    region: str
    sessions: int
    silent_s: float


class Store(msgspec.Struct, frozen=True):
    """A store, as the workers meet it."""

    store: str
    waiting: int
    write_ms: float | None
    read_ms: float | None
    failures: int


class Figures(msgspec.Struct, frozen=True):
    """A cluster.

    Attributes:
        cluster: its name.
        status: the worst worker's.
        kafka: whether Kafka answers.
        workers: each that is known of.
        messages_per_s: messages numbered a second.
        entries_per_s: entries to links a second.
        bytes_per_s: bytes written a second.
        lag: offsets not yet taken.
        links: living links; None if nobody could tell.
        sessions: behind them.
        stores: both.
        stored_ago_s: age of the newest stored message.
        rejects: by reason, since the workers were started.
        refused: by code, since then.
        notices_per_s: entries a second that tell of new messages in place of them.
        bursts: channels in a burst.
        links_slow: links that do not keep up, counted by groups partition.
        links_overrun: of these, those that are to begin anew.
    """

    cluster: str
    status: str
    kafka: bool
    workers: Sequence[Worker]
    messages_per_s: float
    entries_per_s: float
    bytes_per_s: float
    lag: int
    links: Sequence[Link] | None
    sessions: int
    stores: Sequence[Store]
    stored_ago_s: float | None
    rejects: dict[str, int]
    refused: dict[str, int]
    notices_per_s: float = 0.0
    bursts: int = 0
    links_slow: int = 0
    links_overrun: int = 0


def figures(cluster: str, now: Sight, before: Sight | None) -> Figures:
    """What happened between two looks, and how things stand at the later one."""
    earlier = {} if before is None else {worker.url: worker.samples for worker in before.workers}
    seconds = 0.0 if before is None else now.at_s - before.at_s
    workers = [_worker(worker, earlier.get(worker.url), seconds) for worker in now.workers]
    told = [worker.samples for worker in now.workers if worker.samples is not None]
    passed = [
        Passed(worker.samples, earlier.get(worker.url), seconds) for worker in now.workers if worker.samples is not None
    ]
    links = None
    if now.links is not None:
        links = [Link(link.link, link.region, link.sessions, link.silent_ms / 1000) for link in now.links]
    return Figures(
        cluster,
        max((worker.status for worker in workers), key=rank, default=DEAD),
        now.kafka,
        workers,
        sum(one.per_s("linkcast_messages_total") for one in passed),
        sum(one.per_s("linkcast_delivery_entries_total") for one in passed),
        sum(worker.bytes_per_s for worker in workers),
        sum(worker.lag for worker in workers),
        links,
        int(sum(one.total("linkcast_sessions") for one in told)),
        [_store(store, told, passed) for store in _STORES],
        None if now.stored_ms is None else max(0, now.wall_ms - now.stored_ms) / 1000,
        _counted(told, "linkcast_rejects_total", "reason"),
        _counted(told, "linkcast_refused_total", "code"),
        sum(one.per_s("linkcast_unread_notices_total") for one in passed),
        *(int(sum(one.total(name) for one in told)) for name in _LISTENING),
    )


def rank(status: str) -> int:
    """The higher the worse; dead is worst."""
    return len(STATUSES) if status == DEAD else list(STATUSES).index(base(status))


def _worker(worker: WorkerSight, before: Samples | None, seconds: float) -> Worker:
    if worker.health is None or worker.samples is None:
        act = "Start it again with the same name; others of its role take over what it had."
        return Worker(worker.url, worker.role, DEAD, None, act, _by_kind(worker.owns))
    health, samples = worker.health, worker.samples
    passed = Passed(samples, before, seconds)
    stored = "linkcast_stored_messages_total" if worker.role == "sinks" else "linkcast_messages_total"
    batches = passed.more("linkcast_batch_step_seconds_count", step="apply")
    transaction_s = passed.mean("linkcast_transaction_seconds")
    return Worker(
        worker.url,
        worker.role,
        health["status"],
        health.get("for_s"),
        health.get("next", ""),
        _by_kind([(lane["kind"], lane["partition"]) for lane in health["lanes"]]),
        passed.per_s("linkcast_records_total"),
        passed.per_s(stored),
        passed.per_s("linkcast_delivery_entries_total"),
        passed.per_s("linkcast_output_bytes_total"),
        int(samples.total("linkcast_lag_records")),
        max((lane["oldest_s"] or 0.0 for lane in health["lanes"]), default=0.0),
        passed.more("linkcast_batch_step_seconds_sum") / batches * 1000 if batches else None,
        None if transaction_s is None else transaction_s * 1000,
        int(samples.total("linkcast_aborts_total")),
        int(samples.total("linkcast_rejects_total")),
        samples.total("process_resident_memory_bytes") / 1e6,
        passed.per_s("process_cpu_seconds_total"),
        _troubled(health),
    )


def _by_kind(lanes: Sequence[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for kind, partition in sorted(lanes):
        found.setdefault(kind, []).append(partition)
    return found


def _troubled(health: Health) -> list[Lane]:
    return [
        Lane(
            f"{lane['kind']}/{lane['partition']}",
            lane["status"],
            lane["for_s"],
            lane["paused_for"],
            None if not lane["progress"] else lane["progress"]["read"] / max(1, lane["progress"]["of"]),
        )
        for lane in health["lanes"]
        if lane["status"] != "serving"
    ]


def _store(store: str, told: Sequence[Samples], passed: Sequence[Passed]) -> Store:
    def mean_ms(operation: str) -> float | None:
        labels = {"store": store, "operation": operation}
        count = sum(one.more("linkcast_store_seconds_count", **labels) for one in passed)
        spent_s = sum(one.more("linkcast_store_seconds_sum", **labels) for one in passed)
        return spent_s / count * 1000 if count else None

    return Store(
        store,
        int(sum(one.total("linkcast_store_waiting_lanes", store=store) for one in told)),
        mean_ms("write"),
        mean_ms("read"),
        int(sum(one.total("linkcast_store_failures_total", store=store) for one in told)),
    )


def _counted(told: Sequence[Samples], name: str, label: str) -> dict[str, int]:
    """What happened at all, most first."""
    added: Counter[str] = Counter()
    for one in told:
        added.update({value: int(count) for value, count in one.by(name, label).items() if count})
    return dict(added.most_common())
