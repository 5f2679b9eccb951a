"""Which partition a key belongs to: murmur2 over exact key bytes, as Kafka's own Java producer does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

_MASK: Final = 0xFFFFFFFF
_M: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2 of `data`, unsigned."""
    length = len(data)
    h = (_SEED ^ length) & _MASK
    whole = length & ~3
    for i in range(0, whole, 4):
        k = (int.from_bytes(data[i : i + 4], "little") * _M) & _MASK
        k = ((k ^ (k >> 24)) * _M) & _MASK
        h = ((h * _M) & _MASK) ^ k
    if rest := data[whole:]:
        h = ((h ^ int.from_bytes(rest, "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition, of `partitions`, that records with this key go to."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """`partition_of` of many keys at once: keys of one length are hashed together."""
    by_length: dict[int, list[int]] = {}
    for i, key in enumerate(keys):
        by_length.setdefault(len(key), []).append(i)
    found = [0] * len(keys)
    for length, indexes in by_length.items():
        if len(indexes) < _WORTH_TOGETHER:
            for i in indexes:
                found[i] = partition_of(keys[i], partitions)
            continue
        data = np.frombuffer(b"".join([keys[i] for i in indexes]), np.uint8).reshape(len(indexes), length)
        numbers = (_murmur2_many(data) & np.uint32(0x7FFFFFFF)) % np.uint32(partitions)
        for i, number in zip(indexes, numbers.tolist(), strict=True):
            found[i] = number
    return found


_WORTH_TOGETHER: Final = 16


def _murmur2_many(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """murmur2 of each row; numbers of 32 bits wrap around by themselves."""
    count, length = data.shape
    m, h = np.uint32(_M), np.full(count, (_SEED ^ length) & _MASK, np.uint32)
    whole = length & ~3
    words = np.ascontiguousarray(data[:, :whole]).view("<u4")
    for i in range(whole // 4):
        k = words[:, i] * m
        k = (k ^ (k >> np.uint32(24))) * m
        h = (h * m) ^ k
    if whole < length:
        rest = np.zeros(count, np.uint32)
        for i in range(length - whole):
            rest |= data[:, whole + i].astype(np.uint32) << np.uint32(8 * i)
        h = (h ^ rest) * m
    h = (h ^ (h >> np.uint32(13))) * m
    return h ^ (h >> np.uint32(15))


def key_of(app: str, thing: str) -> bytes:
    """The key bytes of a group or a user: `app:thing`. Ids hold no colon, so no two things share a key."""
    return f"{app}:{thing}".encode()
