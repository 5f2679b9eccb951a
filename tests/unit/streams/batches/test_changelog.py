"""A local copy that is being opened when its lane is closed does not stay open."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest

from streams.batches import changelog
from streams.batches.changelog import Recovery
from streams.batches.store import Origin, RocksStore, open_store


@pytest.fixture
def recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recovery:
    """One whose broker knows an empty changelog of one partition."""
    reader = AsyncMock(assign=Mock(), seek=Mock(), _client=Mock(_conns={}))
    reader.beginning_offsets.side_effect = reader.end_offsets.side_effect = lambda tps: dict.fromkeys(tps, 0)
    monkeypatch.setattr(changelog, "AIOKafkaConsumer", lambda **_: reader)
    monkeypatch.setattr(Recovery, "_origin", AsyncMock(return_value=Origin("id", 1)))
    made = Recovery({}, tmp_path, lambda: 0)
    made.reader = reader  # type: ignore[attr-defined]
    return made


async def cancelled(opening: asyncio.Task[object]) -> None:
    opening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await opening
    assert opening.cancelled()


async def test_cancelled_while_it_is_opened_in_its_thread(recovery: Recovery, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly(*args: object) -> RocksStore:
        begun.set()
        go_on.wait(5)
        return open_store(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(changelog, "open_store", slowly)
    opening = asyncio.create_task(recovery.open("log", 0, 1, None))
    await asyncio.to_thread(begun.wait, 5)
    asyncio.get_running_loop().call_later(0.05, go_on.set)
    await cancelled(opening)
    (await recovery.open("log", 0, 1, None)).close()


async def test_cancelled_while_its_reader_stops(recovery: Recovery) -> None:
    stopping, stop = asyncio.Event(), recovery.reader.stop  # type: ignore[attr-defined]

    async def slowly() -> None:
        stopping.set()
        await asyncio.sleep(5)

    stop.side_effect = slowly
    opening = asyncio.create_task(recovery.open("log", 0, 1, None))
    await stopping.wait()
    await cancelled(opening)
    stop.side_effect = None
    (await recovery.open("log", 0, 1, None)).close()
