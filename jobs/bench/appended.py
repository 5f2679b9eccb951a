"""When records were appended, by the broker's clock: how long a message took from `messages` to each link."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from jobs.bench.lab import Record, Trial
from topics import catalog

#: How a message begins in a record of `deliveries`; no body of the benchmarks can hold it.
ENTRY: Final = b'{"t":"m"'
#: Milliseconds, one for each delivery.
Latencies = npt.NDArray[np.float64]


class _Sent(msgspec.Struct):
    client_id: str


class _Entry(msgspec.Struct, rename={"client_id": "i"}, tag_field="t", tag="m"):
    client_id: str


class _Lot(msgspec.Struct):
    entries: list[msgspec.Raw] = []


_SENT: Final = msgspec.json.Decoder(_Sent)
_LOT: Final = msgspec.json.Decoder(_Lot)
_ENTRY: Final = msgspec.json.Decoder(_Entry)


async def messages_at(trial: Trial, wanted: Callable[[bytes], bool] = lambda _: True) -> dict[str, int]:
    """When each message was appended to `messages`, by its client id.

    Args:
        trial: where.
        wanted: says of a record's bytes whether it is looked at.
    """
    found = {}
    async for record in trial.read(catalog.MESSAGES):
        if record.value is not None and wanted(record.value):
            found[_SENT.decode(record.value).client_id] = record.timestamp
    return found


def ids_of_lot(record: Record) -> Iterable[str]:
    """The client ids of the messages in a record of `deliveries`."""
    for entry in _LOT.decode(record.value or b"").entries:
        if bytes(entry).startswith(ENTRY):
            yield _ENTRY.decode(entry).client_id


async def latencies(
    records: AsyncIterator[Record], sent: dict[str, int], ids_of: Callable[[Record], Iterable[str]] = ids_of_lot
) -> Latencies:
    """How long each delivery of a message that is in `sent` took."""
    found = [record.timestamp - sent[one] async for record in records for one in ids_of(record) if one in sent]
    return np.asarray(found, np.float64)
