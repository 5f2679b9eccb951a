"""Kafka's record batches (format 2), compressed before they are handed to aiokafka.

aiokafka compresses when it sends, on the event loop: a fifth of a busy worker's time. Here that is done before and
elsewhere: compression gives up the interpreter's lock, so a thread does it on another core. What depends on the moment
of sending (the producer's id and sequence, the checksum over them) is filled in when aiokafka asks for the bytes.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Sequence
from typing import Final

import cramjam
from aiokafka.record.util import calc_crc32c

#: (key, value), either may be None.
Pair = tuple[bytes | None, bytes | None]

_LEVEL: Final = 1  # of zstd: twice as fast as 3, and no larger on lots
_ZSTD, _TRANSACTIONAL = 0x04, 0x10
_HEAD: Final = struct.Struct(">qiibI")  # base offset, length, leader epoch, format, checksum
_REST: Final = struct.Struct(">hiqqqhii")  # what the checksum covers, up to the records
_AFTER_LENGTH: Final = 12
_FORMAT: Final = 2


class PackedBatch:
    """One record batch. aiokafka takes it for one of its own `BatchBuilder`s that is full.

    Args:
        records: at least one (key, value).
    """

    def __init__(self, records: Sequence[Pair]) -> None:
        self._count = len(records)
        self._at_ms = int(time.time() * 1000)  # the broker writes its own append time over it
        body = _encode(records)
        compressed = bytes(cramjam.zstd.compress(body, level=_LEVEL))
        self._codec, self._body = (_ZSTD, compressed) if len(compressed) < len(body) else (0, body)
        self._who = (-1, -1, -1)
        self._built: bytes | None = None

    def record_count(self) -> int:
        """How many records it holds."""
        return self._count

    def closed(self) -> bool:
        """Nothing can be appended."""
        return True

    def close(self) -> None:
        """It is closed."""

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._who = producer_id, producer_epoch, base_sequence

    def _build(self) -> bytes:
        """The bytes; the same ones if they have to be sent again."""
        if self._built is None:
            attributes = self._codec | _TRANSACTIONAL
            rest = _REST.pack(attributes, self._count - 1, self._at_ms, self._at_ms, *self._who, self._count)
            covered = rest + self._body
            length = _HEAD.size - _AFTER_LENGTH + len(covered)
            self._built = _HEAD.pack(0, length, -1, _FORMAT, calc_crc32c(covered)) + covered
        return self._built


def pack(records: Iterable[Pair], max_bytes: int) -> list[PackedBatch]:
    """Records in order, in batches of at most `max_bytes` before compression; a larger record stands alone."""
    runs: list[list[Pair]] = []
    run: list[Pair] = []
    size = 0
    for record in records:
        key, value = record
        grows = len(key or b"") + len(value or b"") + _RECORD_OVERHEAD
        if size + grows > max_bytes and run:
            runs.append(run)
            run, size = [], 0
        run.append(record)
        size += grows
    return [PackedBatch(run) for run in (*runs, run) if run]


_RECORD_OVERHEAD: Final = 21  # lengths, offset and time of a record take no more


def _encode(records: Sequence[Pair]) -> bytes:
    """Records without headers, all of one moment."""
    parts: list[bytes] = []
    for place, (key, value) in enumerate(records):
        record = b"\x00\x00%b%b%b\x00" % (_number(place), _field(key), _field(value))
        parts.append(_number(len(record)))
        parts.append(record)
    return b"".join(parts)


def _field(field: bytes | None) -> bytes:
    return b"\x01" if field is None else _number(len(field)) + field


def _number(value: int) -> bytes:
    return _SMALL[value] if value < _TWO_BYTES else _varint(value)


def _varint(value: int) -> bytes:
    """A number from 0 up in Kafka's zigzag variable length."""
    value <<= 1
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(0x80 | value & 0x7F)
        value >>= 7
    out.append(value)
    return bytes(out)


_TWO_BYTES: Final = 1 << 13  # below it a number takes two bytes at most: nearly all do, so these are made once
_SMALL: Final = [_varint(value) for value in range(_TWO_BYTES)]
