"""The local copy of one partition's rows, and its twin in memory.

A copy is a cache of the changelog: written after each commit, rows and changelog offset in one write batch, and thrown
away whenever it might be wrong. Nothing is lost with it but the time to read the changelog again.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import msgspec
from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    ColumnFamily,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
)

from tables.rows import Changes, Store
from topics import catalog

log = logging.getLogger(__name__)

#: How rows lie in the files. Raise it when older files would be misread: they are thrown away, which costs a recovery.
FORMAT: Final = 2

_META_FAMILY: Final = "meta"
_META_KEY: Final = b"state"
_FORMAT_KEY: Final = b"format"
_SCAN_PAGE: Final = 256
_MIB: Final = 1 << 20
_MAX_AGE_MS: Final = catalog.DELETE_RETENTION_MS // 2  # older, and it may have missed tombstones


class StoreError(Exception):
    """The local copy cannot be read or written; it is to be thrown away."""


class StoreInUseError(Exception):
    """Another process has the local copy open: two workers share a folder."""


class Origin(msgspec.Struct, frozen=True):
    """Which changelog a copy is a copy of."""

    topic_id: str
    partitions: int


class State(msgspec.Struct, frozen=True):
    """How far a copy goes.

    Attributes:
        origin: the changelog it was made from.
        offset: the changelog's offset to read next.
        written_ms: when it was last known to be complete, by the machine's clock.
        clock_ms: the partition's clock at that time.
    """

    origin: Origin
    offset: int
    written_ms: int
    clock_ms: int


class LocalStore(Store, Protocol):
    """Committed rows with the changelog offset they go up to."""

    @property
    def state(self) -> State | None:
        """How far it goes; None when it holds nothing yet."""

    def write(self, changes: Changes, state: State) -> None:
        """Make the changes and the new state durable together."""

    def close(self) -> None:
        """Let go of the files."""


class MemoryStore:
    """The twin for tests and for roles without a folder."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._state: State | None = None

    @property
    def state(self) -> State | None:
        """How far it goes; None when it holds nothing yet."""
        return self._state

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""
        return self._rows.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every (key, value) whose key starts with `prefix`, in the order of keys, from the key `start` on."""
        for key in sorted(key for key in self._rows if key.startswith(prefix) and key >= start):
            yield key, self._rows[key]

    def write(self, changes: Changes, state: State) -> None:
        """Make the changes and the new state durable together."""
        for key, value in changes.items():
            if value is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = value
        self._state = state

    def close(self) -> None:
        """Let go of the files; there are none."""


def _options() -> Options:
    """Bounded memory for each of many partitions in one process: a few MiB instead of the library's GiB."""
    table = BlockBasedOptions()
    table.set_block_cache(Cache(8 * _MIB))
    table.set_bloom_filter(10, False)
    table.set_block_size(8 * 1024)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(8 * _MIB)
    options.set_max_write_buffer_number(3)
    options.set_target_file_size_base(16 * _MIB)
    options.set_max_background_jobs(2)
    options.set_max_open_files(256)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_keep_log_file_num(2)
    options.set_stats_dump_period_sec(0)
    options.set_paranoid_checks(True)
    return options


class RocksStore:
    """Rows of one partition in one folder."""

    def __init__(self, folder: Path) -> None:
        """Open or make it.

        Raises:
            StoreInUseError: another process has it open.
            StoreError: its files are no good.
        """
        folder.mkdir(parents=True, exist_ok=True)
        families = {"default": _options(), _META_FAMILY: _options()}
        try:
            self._db = Rdict(str(folder), _options(), column_families=families, access_type=AccessType.read_write())
        except Exception as error:
            if "/LOCK: " in str(error):
                raise StoreInUseError(f"{folder} is open elsewhere: {error}") from error
            raise StoreError(f"{folder} cannot be opened: {error}") from error
        self._meta: ColumnFamily | None = self._db.get_column_family_handle(_META_FAMILY)
        try:
            self._state = self._read_state()
        except Exception as error:
            self.close()
            raise StoreError(f"its state cannot be read: {error}") from error

    def _read_state(self) -> State | None:
        family = self._db.get_column_family(_META_FAMILY)
        try:
            raw = family.get(_META_KEY)
            written = b"%d" % FORMAT if raw is None else family.get(_FORMAT_KEY) or b"1"  # the first had no stamp
            if written != b"%d" % FORMAT:
                raise StoreError(f"it has the format {written.decode()}, and this worker writes {FORMAT}")
            family.put(_FORMAT_KEY, written)
        finally:
            family.close()
        return None if raw is None else msgspec.json.decode(raw, type=State)

    @property
    def state(self) -> State | None:
        """How far it goes; None when it holds nothing yet."""
        return self._state

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            raise StoreError(f"a row cannot be read: {error}") from error
        return value

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every (key, value) whose key starts with `prefix`, in the order of keys, from the key `start` on.

        Read in pages, so that no iterator of the library outlives a call: one that is open when the partition goes
        holds its files.
        """
        start = max(prefix, start)
        while page := self._page(start, prefix):
            yield from page
            start = page[-1][0] + b"\x00"

    def _page(self, start: bytes, prefix: bytes) -> list[tuple[bytes, bytes]]:
        page: list[tuple[bytes, bytes]] = []
        try:
            rows = self._db.iter(ReadOptions())
            rows.seek(start)
            while rows.valid() and len(page) < _SCAN_PAGE:
                key = rows.key()
                if not key.startswith(prefix):
                    break
                page.append((key, rows.value()))
                rows.next()
            rows.status()
        except Exception as error:
            raise StoreError(f"rows cannot be read: {error}") from error
        return page

    def write(self, changes: Changes, state: State) -> None:
        """Make the changes and the new state durable together."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in changes.items():
            if value is None:
                delete(key)
            else:
                put(key, value)
        put(_META_KEY, msgspec.json.encode(state), self._meta)
        try:
            self._db.write(batch)
        except Exception as error:
            raise StoreError(f"rows cannot be written: {error}") from error
        self._state = state

    def close(self) -> None:
        """Let go of the files; a handle that is still held would keep them locked."""
        self._meta = None
        self._db.close()


def unfit(state: State | None, origin: Origin, begin: int, end: int, now_ms: int) -> str | None:
    """Why a copy must not be used, or None.

    Args:
        state: what the copy says of itself.
        origin: the changelog as it is now.
        begin: the changelog's first offset.
        end: the changelog's end.
        now_ms: the machine's clock.
    """
    if state is None:
        return None
    if state.origin != origin:
        return f"it is a copy of another changelog: {state.origin}, now {origin}"
    if not begin <= state.offset <= end:
        return f"its offset {state.offset} lies outside of the changelog, {begin} to {end}"
    if abs(now_ms - state.written_ms) > _MAX_AGE_MS:
        return f"it was last complete {(now_ms - state.written_ms) // 1000} s ago and may have missed deletions"
    return None


def open_store(folder: Path, origin: Origin, begin: int, end: int, now_ms: int) -> RocksStore:
    """The copy in `folder` if it can be trusted, else an empty one in its place.

    Raises:
        StoreInUseError: another process has it open.
        StoreError: not even an empty one can be made.
    """
    reason: str | None
    try:
        store = RocksStore(folder)
    except StoreError as error:
        reason = str(error)
    else:
        reason = unfit(store.state, origin, begin, end, now_ms)
        if reason is None:
            return store
        store.close()
    log.warning("local rows in %s are thrown away and read again: %s", folder, reason)
    shutil.rmtree(folder, ignore_errors=True)
    return RocksStore(folder)
