"""Real workers as they are watched: what they did is in their metrics, no content is in their logs, all on a screen."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from msgspec import Raw

from jobs.services import Services
from jobs.stack import as_environment, ask
from jobs.top.samples import Samples
from streams.app import ROLES, Role
from streams.metrics.catalog import METRICS
from streams.settings import Settings
from tests.faults.stage import THIS, FaultyStack
from tests.faults.worker import UNBEARABLE
from tests.services import forget_stored, in_thread, own_settings, recreate_topics
from topics import catalog
from topics.codec import encode
from topics.keys import key_of, partition_of
from topics.messages import Send
from topics.relations import CreateGroup

APP, GROUP, SENT = "acme", f"talk-{uuid4().hex[:8]}", 40
MARKER = "what-nobody-but-its-readers-may-see"


@dataclass(frozen=True)
class Watched:
    """Three workers that have worked."""

    settings: Settings
    stack: FaultyStack

    def url(self, role: Role) -> str:
        return f"http://{self.settings.host}:{self.stack.view_ports[role]}"

    def samples(self, role: Role) -> Samples:
        with urllib.request.urlopen(f"{self.url(role)}/metrics", timeout=10) as answer:
            return Samples.parse(answer.read().decode())

    def top(self, *options: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **as_environment(self.settings), "COLUMNS": "140"}
        command = [sys.executable, "-m", "jobs", "top", *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def until(check: Callable[[], Any], what: str, within_s: float = 120.0) -> Any:
    """What `check` gives once it gives something."""
    end = time.monotonic() + within_s
    while not (found := check()):
        assert time.monotonic() < end, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def watched(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    services.up()
    in_thread(recreate_topics(services.settings))
    run = Watched(own := own_settings(services.settings, Path(tmp_path_factory.mktemp("watched"))), FaultyStack(own))
    try:
        for role, port in run.stack.view_ports.items():
            run.stack.start_release(THIS, role, role, port)
        until(lambda: all(ask(f"{run.url(role)}/ready") for role in ROLES), "all are ready")
        in_thread(work(own))
        until(lambda: run.samples("sinks").total("linkcast_stored_messages_total") == SENT, "all is stored")
        until(lambda: run.samples("groups").total("linkcast_rejects_total") == 2, "both are rejected")
        yield run
    finally:
        run.stack.stop()
        forget_stored(own)


async def work(settings: Settings) -> None:
    """A group, its messages, one of them twice; one refused; one that is none, and one that a handler can't bear."""
    key = key_of(APP, GROUP)
    partition = partition_of(key, settings.partitions)
    now_ms = time.time_ns() // 1_000_000

    def send(name: str, sender: str = "ann") -> bytes:
        return encode(Send(APP, GROUP, sender, "phone", name, now_ms, Raw(json.dumps(MARKER).encode())))

    unbearable = b'{"t":"send","body":"' + MARKER.encode() + UNBEARABLE + b'"}'
    values = [send(f"c{n}") for n in range(SENT)]
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap) as producer:
        create = encode(CreateGroup(APP, GROUP, members=["ann"]))
        await producer.send_and_wait(catalog.RELATIONS.name, create, key=key, partition=partition)
        await asyncio.sleep(1)
        for value in (*values, values[0], send("x", "bob"), b"no record: " + MARKER.encode(), unbearable):
            await producer.send_and_wait(catalog.MESSAGES.name, value, key=key, partition=partition)


def test_what_a_worker_did_is_in_its_metrics(watched: Watched) -> None:
    groups, sinks = watched.samples("groups"), watched.samples("sinks")
    assert groups.total("linkcast_messages_total") == SENT
    assert groups.total("linkcast_resends_total") == 1
    assert groups.by("linkcast_refused_total", "code")["not_a_member"] == 1
    rejected = groups.by("linkcast_rejects_total", "reason")
    assert {reason: times for reason, times in rejected.items() if times} == {"undecodable": 1, "handler_failed": 1}
    assert groups.total("linkcast_poisoned_total") == 1
    assert groups.total("linkcast_records_total") == SENT + 5
    assert groups.total("linkcast_groups_in_memory") == 1
    assert groups.total("linkcast_lag_records") == 0
    assert sinks.total("linkcast_stored_messages_total") == SENT
    for store in ("cassandra", "redis"):
        assert sinks.total("linkcast_store_seconds_count", store=store, operation="write") > 0


def test_a_batch_is_timed_step_by_step(watched: Watched) -> None:
    groups, sinks = watched.samples("groups"), watched.samples("sinks")
    batches = groups.total("linkcast_batches_total")
    assert batches > 0
    assert groups.total("linkcast_batch_records_count") == batches
    assert groups.total("linkcast_batch_records_sum") == groups.total("linkcast_records_total")
    for step in ("apply", "send", "commit", "keep"):
        assert groups.total("linkcast_batch_step_seconds_count", step=step) >= batches
    assert sinks.total("linkcast_batch_step_seconds_count", step="effects") > 0
    sent_and_committed = sum(groups.total("linkcast_batch_step_seconds_sum", step=step) for step in ("send", "commit"))
    assert groups.total("linkcast_transaction_seconds_sum") == pytest.approx(sent_and_committed)
    assert groups.total("linkcast_output_bytes_total", topic="history") > SENT * len(MARKER)


def test_every_metric_of_the_catalog_has_a_value_somewhere(watched: Watched) -> None:
    told = [watched.samples(role) for role in ROLES]
    silent = {
        name
        for name, metric in METRICS.items()
        if not any(one.by(f"{name}_count" if metric.kind == "histogram" else name, "role") for one in told)
    }
    assert silent == set()


def test_no_log_holds_what_a_message_or_a_token_says(watched: Watched) -> None:
    secret = next(iter(watched.settings.signing_keys().values()))
    for role in ROLES:
        log = watched.stack.log(role).read_text()
        lines = [json.loads(line) for line in log.splitlines()]
        assert {(line["role"], line["worker"]) for line in lines} == {(role, role)}
        for hidden in (MARKER, secret, "Bearer"):
            assert hidden not in log
    told = [json.loads(line) for line in watched.stack.log("groups").read_text().splitlines()]
    (aside,) = [line for line in told if "aside" in line["event"]]
    partition = partition_of(key_of(APP, GROUP), watched.settings.partitions)
    assert (aside["level"], aside["kind"], aside["partition"]) == ("ERROR", "groups", partition)
    assert "ArithmeticError" in aside["event"]


def test_top_shows_who_works_and_who_died(watched: Watched) -> None:
    def told() -> dict[str, Any]:
        said = watched.top("--json")
        assert said.returncode == 0, said.stderr
        found: dict[str, Any] = json.loads(said.stdout)
        return found

    def serves() -> dict[str, Any]:
        """What was told when all served: each look asks each worker anew, and waits 2 s for it."""
        said = told()
        statuses = {worker["role"]: worker["status"] for worker in said["workers"]}
        return said if said["kafka"] and statuses == dict.fromkeys(ROLES, "serving") else {}

    found = until(serves, "the tables of the final state are made")
    assert found["rejects"] == {"undecodable": 1, "handler_failed": 1}
    users = next(worker for worker in found["workers"] if worker["role"] == "users")
    assert users["partitions"] == {"links": [0], "users": list(range(watched.settings.partitions))}
    assert all(worker["rss_mb"] > 10 for worker in found["workers"])

    watched.stack.running()["sinks"].signal(signal.SIGKILL)
    until(lambda: "sinks" not in watched.stack.running(), "it is gone")

    def screen_of_two() -> Any:
        screen = watched.top("--once")
        assert screen.returncode == 0, screen.stderr
        return "2 of 3 workers" in screen.stdout and screen

    screen = until(screen_of_two, "the others answer")
    (line,) = [line for line in screen.stdout.splitlines() if line.startswith("│ sinks dead")]
    assert watched.url("sinks") in line
