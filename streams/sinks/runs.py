"""What is written together: rows of one partition of Cassandra, or small ones of several."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from topics import limits

T = TypeVar("T")


@dataclass(slots=True)
class Run(Generic[T]):
    """Rows that are written together.

    Attributes:
        rows: (index among those given, row).
        size: their bytes, about.
    """

    rows: list[tuple[int, T]] = field(default_factory=list)
    size: int = 0

    def add(self, row: tuple[int, T], size: int) -> None:
        """Take one more."""
        self.rows.append(row)
        self.size += size


def runs(rows: Iterable[T], partition_of: Callable[[T], Hashable], size_of: Callable[[T], int]) -> list[Run[T]]:
    """Rows in the runs to write: those of a partition together, in order, and lone ones of several partitions."""
    whole: list[Run[T]] = []
    open_: dict[Hashable, Run[T]] = {}
    for index, row in enumerate(rows):
        key = partition_of(row)
        size = size_of(row)
        run = open_.get(key)
        if run is None or len(run.rows) == limits.STORE_BATCH_ROWS or run.size + size > limits.STORE_BATCH_BYTES:
            open_[key] = run = Run()
            whole.append(run)
        run.add((index, row), size)
    return _packed(whole)


def _packed(whole: Iterable[Run[T]]) -> list[Run[T]]:
    """Small runs of several partitions as one: a request costs the driver ten times what a row does."""
    packed: list[Run[T]] = []
    last, partitions = Run[T](), limits.STORE_PACK_PARTITIONS
    for run in whole:
        if run.size > limits.STORE_PACK_BYTES:
            packed.append(run)
            continue
        if partitions == limits.STORE_PACK_PARTITIONS or last.size + run.size > limits.STORE_PACK_BYTES:
            last, partitions = Run(), 0
            packed.append(last)
        last.rows += run.rows
        last.size += run.size
        partitions += 1
    return packed
