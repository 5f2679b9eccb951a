"""A lane's local rows are a copy: whatever became of them, what the changelog says comes back."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from jobs.services import Services
from streams.batches.changelog import PartitionCountError, Recovery
from streams.batches.producer import LaneProducer
from streams.batches.store import LocalStore, RocksStore, StoreInUseError
from tests.pipeline.pipe import Pipe, listed

NOW_MS = 1_700_000_000_000


def make_older(folder: Path) -> None:
    """The copy of an earlier run put back: it is behind, and still good."""
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("earlier"), folder)


def make_stale(folder: Path) -> None:
    store = RocksStore(folder)
    assert store.state is not None
    store.write({b"count": b"999"}, msgspec.structs.replace(store.state, written_ms=1))
    store.close()


def run_ahead(folder: Path) -> None:
    store = RocksStore(folder)
    assert store.state is not None
    store.write({b"count": b"999"}, msgspec.structs.replace(store.state, offset=store.state.offset + 10_000))
    store.close()


def scribble(folder: Path) -> None:
    for file in (*folder.glob("MANIFEST-*"), *folder.glob("*.sst"), *folder.glob("*.log")):
        file.write_bytes(b"scribble")


def vanish(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize("harm", [make_older, make_stale, run_ahead, scribble, vanish])
async def test_the_count_goes_on_whatever_became_of_the_local_rows(
    services: Services, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 1) as pipe:
        folder = tmp_path / "worker" / f"{pipe.run}-changelog" / "0"
        for _ in range(2 if harm is make_older else 1):
            worker = await pipe.worker("worker")
            await worker.serves(1)
            await pipe.feed(10)
            await pipe.all_arrives()
            worker.signal(signal.SIGTERM)
            assert await worker.ends() == 0
            if not folder.with_name("earlier").exists():
                shutil.copytree(folder, folder.with_name("earlier"))
        harm(folder)
        await pipe.worker("worker")
        await pipe.feed(10)
        await pipe.all_arrives()


async def settled(pipe: Pipe) -> None:
    """As a lane's opening does: a commit is answered before its markers are written, whoever starts waits for them."""
    producer = LaneProducer({"bootstrap_servers": pipe.bootstrap}, pipe.run)
    await producer.start()
    await producer.abandon()


async def recovered(pipe: Pipe, folder: Path, partitions: int = 1) -> LocalStore:
    await settled(pipe)
    recovery = Recovery({"bootstrap_servers": pipe.bootstrap}, folder, lambda: NOW_MS)
    return await recovery.open(f"{pipe.run}-changelog", 0, partitions)


async def test_recovery_passes_markers_and_aborted_rows_and_ends_at_the_end(services: Services, tmp_path: Path) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 1) as pipe:
        log = f"{pipe.run}-changelog", 0
        for key, commits in ((b"a", True), (b"b", False), (b"c", True), (b"d", False)):
            producer = LaneProducer({"bootstrap_servers": pipe.bootstrap}, pipe.run)
            await producer.start()
            await producer.send({log: [(key, b"1"), (b"gone", b"1")]}, {}, pipe.run)
            if commits:
                await producer.commit()
            await producer.abandon()
        producer = LaneProducer({"bootstrap_servers": pipe.bootstrap}, pipe.run)
        await producer.start()
        await producer.send({log: [(b"gone", None)]}, {}, pipe.run)
        await producer.commit()
        await producer.abandon()
        store = await recovered(pipe, tmp_path)
        assert list(store.scan(b"")) == [(b"a", b"1"), (b"c", b"1")]
        assert store.state is not None
        assert store.state.offset == 14, "five transactions, nine rows, five markers"
        store.close()


async def test_a_recovery_tells_how_far_it_is_while_it_lasts(services: Services, tmp_path: Path) -> None:
    rows = 50_000
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 1) as pipe:
        log = f"{pipe.run}-changelog", 0
        producer = LaneProducer({"bootstrap_servers": pipe.bootstrap}, pipe.run)
        await producer.start()
        await producer.send({log: [(b"%d" % n, b"1") for n in range(rows)]}, {}, pipe.run)
        await producer.commit()
        await producer.abandon()
        await settled(pipe)
        recovery = Recovery({"bootstrap_servers": pipe.bootstrap}, tmp_path, lambda: NOW_MS)
        told: set[tuple[int, int, int]] = set()

        def index(*_: object) -> dict[bytes, bytes | None]:
            progress = recovery.progress[log]
            told.add((progress.begin, progress.position, progress.end))
            return {}

        store = await recovery.open(*log, 1, index)
        assert recovery.progress == {}
        store.close()
    assert {(begin, end) for begin, _, end in told} == {(0, rows + 1)}
    positions = sorted(position for _, position, _ in told)
    assert len(positions) > 1, "told once only, at the end"
    assert positions[-1] >= rows


async def test_a_changelog_made_anew_is_another_one(services: Services, tmp_path: Path) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 1) as pipe:
        store = await recovered(pipe, tmp_path)
        assert store.state is not None
        store.write({b"a": b"1"}, store.state)
        store.close()
        store = await recovered(pipe, tmp_path)
        assert store.get(b"a") == b"1"
        store.close()
        admin = AIOKafkaAdminClient(bootstrap_servers=pipe.bootstrap)
        await admin.start()
        await admin.delete_topics([f"{pipe.run}-changelog"])
        while f"{pipe.run}-changelog" in await admin.list_topics():
            pass
        await admin.create_topics([NewTopic(f"{pipe.run}-changelog", 1, 1)])
        await listed(admin, {f"{pipe.run}-changelog"})
        await admin.close()
        store = await recovered(pipe, tmp_path)
        assert store.get(b"a") is None
        store.close()


async def test_a_changelog_with_other_partitions_is_refused(services: Services, tmp_path: Path) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 2) as pipe:
        with pytest.raises(PartitionCountError, match="has 2 partitions, the cluster has 1"):
            await recovered(pipe, tmp_path)


async def test_a_folder_that_another_worker_uses_is_never_thrown_away(services: Services, tmp_path: Path) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 1) as pipe:
        store = await recovered(pipe, tmp_path)
        with pytest.raises(StoreInUseError):
            await recovered(pipe, tmp_path)
        store.close()
