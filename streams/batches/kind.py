"""What a lane is given: what its kind is, and everything it touches outside of its own memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streams.batches.producer import Producer
from streams.batches.store import LocalStore
from tables.batch import MakeCore, Outputs, Record
from tables.rows import Index
from tables.versions import StateVersion
from topics import limits
from topics.catalog import Topic

#: Writes a batch's effects to stores outside of Kafka, before its transaction; may wait for them for minutes.
StoreEffects = Callable[[Outputs, Sequence[Record]], Awaitable[None]]


@dataclass(frozen=True)
class LaneKind:
    """What the lanes of a kind have in common.

    Attributes:
        name: names its transactional ids: `{cluster}-{name}-{partition}`.
        inputs: its input topics, all with the same partitions; equal append times keep this order.
        changelog: where its rows are kept; None if it has none.
        make_core: makes the deciding half of a partition.
        store_effects: writes to stores outside of Kafka before each transaction, if it has any.
        index: makes the local rows anew that are not in the changelog, if it has any; also of rows of older versions.
        batch_bytes: how many bytes of records a batch takes.
        version: which version its rows have, and how older ones are brought to it; None if it has no rows.
        patient: inputs that are worth no batch of their own at once: they wait PATIENT_GAP_MS for others.
    """

    name: str
    inputs: tuple[Topic, ...]
    changelog: Topic | None
    make_core: MakeCore
    store_effects: StoreEffects | None = None
    index: Index | None = None
    batch_bytes: int = limits.BATCH_BYTES
    version: StateVersion | None = None
    patient: tuple[Topic, ...] = ()


class Source(Protocol):
    """What a lane needs of the consumer, for its own partition."""

    @property
    def generation(self) -> int:
        """The group's generation that the assignment belongs to."""

    @property
    def heartbeat_at(self) -> float:
        """When the last successful heartbeat was sent, by the monotonic clock."""

    async def committed(self, topics: Sequence[str]) -> dict[str, int]:
        """Where each topic is to be read from."""

    async def start_at(self, offsets: Mapping[str, int], opening: int) -> None:
        """Seek and fetch from there on."""

    async def stop(self, topics: Sequence[str], opening: int) -> None:
        """Fetch no longer."""

    def tell(self, topic: str, opening: int) -> None:
        """There is room for `topic`."""


@dataclass(frozen=True)
class Edges:
    """Everything a lane touches outside of its own memory.

    Attributes:
        source: the consumer.
        make_producer: a new, not yet started producer.
        open_store: the partition's complete rows.
        crash: stops the worker with this error.
        openings: numbers openings, across all lanes of a worker.
        monotonic: seconds that never go back.
        wall_ms: the machine's clock, for the age of local rows only.
        group: the consumer group of the role.
        session_s: the session time-out.
        gap_s: batches with records begin at least this far apart.
    """

    source: Source
    make_producer: Callable[[], Producer]
    open_store: Callable[[], Awaitable[LocalStore]] | None
    crash: Callable[[Exception], None]
    openings: Callable[[], int]
    monotonic: Callable[[], float]
    wall_ms: Callable[[], int]
    group: str
    session_s: float
    gap_s: float = 0.0
