"""What a batch has for each link, gathered into numbered lots; and for the other topics that take lots.

A message is encoded once and the same bytes are appended for each link, so that a link costs an append. Lots of one
source are numbered per registration of a link from 1 without holes; the numbers are one row, written with each batch
that used any.

Answers and mentions have a lot of their own, which a batch writes before its others: one numbering, so that a hole is a
hole, and yet what a session waits for stands ahead of what is merely much. Each of the two keeps its order.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import astuple

from tables import keys, versions
from tables.backlog import LinkBacklog
from tables.batch import Outputs
from tables.rows import Rows
from tables.voids import Voids
from topics import catalog, limits
from topics.wire import LinkAddress


class Outlet:
    """One registration of a link, as this source delivers to it.

    Attributes:
        address: which.
        number: of the last lot.
        entries: encoded entries of the lot being gathered.
        urgent: encoded answers and mentions, which go ahead of them.
        slow: the link does not keep up: notices in place of messages.
        overrun: it fell so far behind that nothing but what is urgent is written until it begins anew.
        dropped: how many entries were not written because of that, since it was last asked.
        backlog: what it has not acknowledged; None: it never acknowledged anything, and is not judged.
    """

    __slots__ = (
        "_begins",
        "_closed",
        "_resets",
        "_tells_overrun",
        "address",
        "backlog",
        "dropped",
        "entries",
        "number",
        "overrun",
        "slow",
        "urgent",
    )

    def __init__(self, address: LinkAddress, number: int) -> None:
        self.address = address
        self.number = number
        self.entries: list[bytes] = []
        self.urgent: list[bytes] = []
        self.slow = False
        self.overrun = False
        self.dropped = 0
        self.backlog: LinkBacklog | None = None
        self._begins = b""  # of its lots, up to the number: made once
        self._resets = False
        self._tells_overrun = False
        self._closed: list[tuple[bool, list[bytes]]] = []

    def reset(self) -> None:
        """What is gathered from here on begins with a lot that makes the gateway forget this source's bindings."""
        if self.overrun:
            self._drop()
            self.overrun = self._tells_overrun = False
        else:
            self._closed.append((self._resets, self.entries))
        self._resets, self.entries = True, []
        self.slow = False
        if self.backlog is not None:
            self.backlog.begin_anew()

    def run_over(self) -> None:
        """The link fell too far behind: one lot says so, and nothing else but what is urgent is written until `reset`.

        What was gathered and not written yet is dropped with the rest.
        """
        if not self.overrun:
            self.overrun = self._tells_overrun = True

    def judge(self, now_ms: int) -> None:
        """Say whether the link keeps up, by what it acknowledged until `now_ms`."""
        if self.backlog is not None:
            if self.backlog.judge(now_ms):
                self.run_over()
            self.slow = self.backlog.slow

    def lots(self, source: int) -> list[bytes]:
        """Take what was gathered as encoded `DeliveryLot`s, each below LOT_BYTES unless one entry is larger."""
        if not (self.entries or self.urgent or self._resets or self._closed or self._tells_overrun):
            return []
        urgent, self.urgent = self.urgent, []
        lots = [self._lot(source, b",".join(run), _URGENT) for run in cut(urgent)]
        if self.overrun:
            self._drop()
            if self._tells_overrun:
                lots.append(self._lot(source, b"", _OVERRUN))
                self._tells_overrun = False
            return lots
        parts = [*self._closed, (self._resets, self.entries)]
        self.entries, self._resets, self._closed = [], False, []
        for resets, entries in parts:
            body = b",".join(entries)
            if len(body) < limits.LOT_BYTES:  # as a rule; else it is cut
                if entries or resets:
                    lots.append(self._lot(source, body, _RESET if resets else b""))
                continue
            for i, run in enumerate(cut(entries)):
                lots.append(self._lot(source, b",".join(run), _RESET if resets and i == 0 else b""))
        return lots

    def _drop(self) -> None:
        self.dropped += len(self.entries) + sum([len(entries) for _, entries in self._closed])
        self.entries, self._resets, self._closed = [], False, []

    def _lot(self, source: int, body: bytes, flag: bytes) -> bytes:
        if not self._begins:
            link, epoch = self.address.link, self.address.epoch
            self._begins = f'{{"t":"lot","link":"{link}","epoch":{epoch},"source":{source},"number":'.encode()
        self.number += 1
        return b'%b%d%b,"entries":[%b]}' % (self._begins, self.number, flag, body)


# Before the entries, so that a reader can tell what a lot is without decoding them.
_RESET: Final = b',"reset":true'
_URGENT: Final = b',"urgent":true'
_OVERRUN: Final = b',"overrun":true'


class _Acknowledging(msgspec.Struct, array_like=True):
    """A registration that acknowledges what it applied."""

    link: str
    epoch: int
    overrun: bool


class Outbox:
    """The outlets of one groups partition.

    Attributes:
        any_slow: whether any of the links does not keep up, as of the last batch.
    """

    def __init__(self, rows: Rows, source: int, voids: Voids) -> None:
        self._rows = rows
        self._source = source
        self._voids = voids
        self.any_slow = False
        self._outlets: dict[tuple[str, int], Outlet] = {}
        if stored := rows.get(keys.NUMBERS):
            for link, epoch, partition, number in _decode_numbers(stored):
                if not voids.covers(link, epoch):
                    self._outlets[link, epoch] = Outlet(LinkAddress(link, epoch, partition), number)
        self._acknowledging = rows.get(keys.ACKNOWLEDGING) or _NONE
        for one in _decode_acknowledging(self._acknowledging):
            if (outlet := self.find(one.link, one.epoch)) is not None:
                outlet.overrun, outlet.backlog = one.overrun, LinkBacklog()

    def outlet(self, link: str, epoch: int, partition: int) -> Outlet | None:
        """The outlet of a registration, opened if need be; None if it is dead."""
        if self._voids.covers(link, epoch):
            return None
        if (outlet := self._outlets.get((link, epoch))) is None:
            outlet = self._outlets[link, epoch] = Outlet(LinkAddress(link, epoch, partition), 0)
        return outlet

    def find(self, link: str, epoch: int) -> Outlet | None:
        """The outlet of a registration if it is open."""
        return self._outlets.get((link, epoch))

    def close(self, link: str, epoch: int) -> None:
        """Registrations of `link` up to `epoch` are dead: what was gathered for them goes nowhere."""
        for known_link, known_epoch in list(self._outlets):
            if known_link == link and known_epoch <= epoch:
                del self._outlets[known_link, known_epoch]

    def drain(self, out: Outputs, now_ms: int = 0, late_ms: int = 0) -> None:
        """Write all that was gathered as lots, and judge who does not keep up.

        Args:
            out: the batch's outputs.
            now_ms: the partition's clock.
            late_ms: how far it is behind the present: what is written now can be acknowledged only after that.
        """
        used = False
        for outlet in self._outlets.values():
            if lots := outlet.lots(self._source):
                used = True
                if outlet.backlog is not None:
                    outlet.backlog.wrote(outlet.number, sum(map(len, lots)), now_ms + late_ms)
                    outlet.judge(now_ms)
                    lots += outlet.lots(self._source)  # that it is overrun, if it is
                for lot in lots:
                    out.send(catalog.DELIVERIES.name, outlet.address.partition, None, lot)
        if used:
            numbers = [(*astuple(outlet.address), outlet.number) for outlet in self._outlets.values()]
            self._rows.put(keys.NUMBERS, _encode(numbers))
            self._keep_acknowledging()
        self._report(out)

    def _keep_acknowledging(self) -> None:
        """Write who acknowledges, and who is overrun, if that is other than what was written."""
        found = [
            _Acknowledging(outlet.address.link, outlet.address.epoch, outlet.overrun)
            for outlet in self._outlets.values()
            if outlet.backlog is not None
        ]
        if (row := _encode(found)) != self._acknowledging:
            if any(one.overrun for one in found):
                versions.GROUPS.mark(self._rows)  # who does not know the row would write to a link that is overrun
            self._rows.put(keys.ACKNOWLEDGING, row)
            self._acknowledging = row

    def _report(self, out: Outputs) -> None:
        """Say how the links stand."""
        slow = overrun = behind = 0
        for outlet in self._outlets.values():
            if outlet.backlog is not None:
                behind += outlet.backlog.bytes
                slow += outlet.slow
                overrun += outlet.overrun
            if outlet.dropped:
                out.counts["entries_dropped"] += outlet.dropped
                outlet.dropped = 0
        self.any_slow = slow > 0
        out.gauges |= {"links_slow": slow, "links_overrun": overrun, "links_backlog_bytes": behind}


_encode: Final = msgspec.msgpack.Encoder().encode
_decode_numbers: Final = msgspec.msgpack.Decoder(list[tuple[str, int, int, int]]).decode
_decode_acknowledging: Final = msgspec.msgpack.Decoder(list[_Acknowledging]).decode
_NONE: Final = _encode([])


class Lots:
    """Entries for the partitions of one topic, each partition's in lots."""

    def __init__(self, topic: str, head: bytes) -> None:
        self._topic = topic
        self._head = head
        self._entries: dict[int, list[bytes]] = {}

    def add(self, partition: int, entry: bytes) -> None:
        """Append an encoded entry."""
        self._entries.setdefault(partition, []).append(entry)

    def drain(self, out: Outputs) -> None:
        """Write all that was gathered, one lot a partition, more where it grows past LOT_BYTES."""
        for partition, gathered in self._entries.items():
            for entries in cut(gathered):
                out.send(self._topic, partition, None, self._head + b",".join(entries) + b"]}")
        self._entries = {}


MEMBERSHIPS_HEAD: Final = b'{"t":"memberships","entries":['
BINDINGS_HEAD: Final = b'{"t":"bindings","entries":['
ANSWERS_HEAD: Final = b'{"t":"answers","entries":['
NOTICES_HEAD: Final = b'{"t":"persons","entries":['


def channel_members_head(source: int) -> bytes:
    """How a lot of `channel-members` begins."""
    return f'{{"t":"channel_members","source":{source},"entries":['.encode()


def history_head(source: int) -> bytes:
    """How a lot of `history` begins."""
    return f'{{"t":"history","source":{source},"entries":['.encode()


def cut(entries: list[bytes]) -> list[list[bytes]]:
    """Runs of entries of at most LOT_BYTES each, commas included, in order; a larger entry stands alone."""
    if sum(map(len, entries)) + len(entries) <= limits.LOT_BYTES:
        return [entries] if entries else []
    runs: list[list[bytes]] = [[]]
    size = 0
    for entry in entries:
        if runs[-1] and size + len(entry) > limits.LOT_BYTES:
            runs.append([])
            size = 0
        runs[-1].append(entry)
        size += len(entry) + 1
    return runs
