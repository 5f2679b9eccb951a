"""One channel of a group: its numbers, its newest messages, and the sends it would know again.

seq rises by one a stored message and `prev` names the one before, so a receiver sees every hole [S2]. A resend, known
by (sender, device, client_id), gets the number it got the first time for as long as it may be resent: until
DEDUPE_WINDOW_MS after its first try. A later one is refused as `expired`, one too many inside the window as
`throttled`: a resend is never taken for new.

Stored: seq, counter and the sends (a row that holds the newest, sealed rows behind it). A sealed row goes when the last
of its sends can't be resent any more. Not stored: the newest messages; after a take-over the views read those from the
cache and the store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush

import msgspec

from tables import keys
from tables.rows import Rows
from topics import limits
from topics.answers import Code
from topics.messages import Send


class Sent(msgspec.Struct, array_like=True, order=True, frozen=True, gc=False):
    """A send that would be known again. They sort by when they are forgotten.

    There may be a million of them: the garbage collector never looks at one.

    Attributes:
        until: it may be resent up to then.
        seq: the number it got.
        at: when it was appended.
        device: sender and device.
        client_id: the sender's id of it.
    """

    until: int
    seq: int
    at: int
    device: str
    client_id: str


class _Row(msgspec.Struct, array_like=True):
    """A channel's row: numbers, that of the next sealed row, the newest sends, and what an earlier life left."""

    seq: int
    counter: int
    next_chunk: int
    tail: list[Sent]
    floor: int = 0  # messages up to this seq belong to earlier lives of the group
    tried_before: int = 0  # first tries up to this moment may be resends of theirs


# What a message kept beside its bytes and a send known again take in memory, measured.
_BYTES_PER_RECENT = 130
_BYTES_PER_SEND = 420

_encode = msgspec.msgpack.Encoder().encode
_decode_row = msgspec.msgpack.Decoder(_Row).decode
_decode_chunk = msgspec.msgpack.Decoder(list[Sent]).decode


class Taken(msgspec.Struct, frozen=True, gc=False):
    """A send has its number; `again` if it had it before."""

    seq: int
    at: int
    again: bool


class Channel:
    """Numbers the messages of one channel."""

    def __init__(self, rows: Rows, group: bytes, channel: str) -> None:
        self.name = channel
        self._rows = rows
        self._key = keys.name(keys.CHANNEL, group, channel.encode())
        self._chunk_prefix = keys.name(keys.SENDS, group, channel.encode())
        self.recent: deque[tuple[int, bytes]] = deque()
        self._recent_bytes = 0
        stored = rows.get(self._key)
        self._row = _decode_row(stored) if stored else _Row(0, 0, 0, [])
        self._known: dict[tuple[str, str], Sent] = {}
        self._per_device: dict[str, int] = {}
        self._sends: list[Sent] = []  # a heap
        self._sealed: list[tuple[int, int]] = []  # a heap of (when its last send is forgotten, number)
        for key, value in rows.scan(self._chunk_prefix):
            self._remember_sealed(int.from_bytes(key[len(self._chunk_prefix) :], "big"), _decode_chunk(value))
        self._remember(self._row.tail)

    @property
    def seq(self) -> int:
        """The number of the newest message; 0 if there is none."""
        return self._row.seq

    @property
    def floor(self) -> int:
        """Messages up to this seq belong to earlier lives of the group: its members of now don't see them."""
        return self._row.floor

    @property
    def counter(self) -> int:
        """How many events the channel has had."""
        return self._row.counter

    @property
    def memory_bytes(self) -> int:
        """About what it takes in memory. O(1)."""
        return self._recent_bytes + _BYTES_PER_RECENT * len(self.recent) + _BYTES_PER_SEND * len(self._sends)

    def known(self, send: Send, at: int) -> Taken | None:
        """What a resend got the first time; None for a send not known."""
        self._forget(at)
        if (sent := self._known.get((_device(send), send.client_id))) is None:
            return None
        return Taken(sent.seq, sent.at, again=True)

    def refusal(self, send: Send, at: int) -> Code | None:
        """Why a send not known must not be taken for new, or None."""
        if send.tried_at > at + limits.CLOCK_SKEW_MS:
            return "clock_ahead"
        if send.tried_at + limits.DEDUPE_WINDOW_MS < at or send.tried_at <= self._row.tried_before:
            return "expired"
        self._forget(at)
        if self._per_device.get(_device(send), 0) >= limits.DEDUPE_PER_DEVICE:
            return "throttled"
        return None

    def take(self, send: Send, at: int) -> Taken:
        """Give a new send the next number."""
        row = self._row
        row.seq += 1
        row.counter += 1
        sent = Sent(max(at, send.tried_at) + limits.DEDUPE_WINDOW_MS, row.seq, at, _device(send), send.client_id)
        row.tail.append(sent)
        self._remember((sent,))
        if len(row.tail) >= limits.TAIL_SENDS:
            self._seal()
        return Taken(row.seq, at, again=False)

    def keep(self, seq: int, message: bytes) -> None:
        """Keep an encoded message among the newest."""
        self.recent.append((seq, message))
        self._recent_bytes += len(message)
        while len(self.recent) > limits.RECENT_ENTRIES or self._recent_bytes > limits.RECENT_BYTES:
            self._recent_bytes -= len(self.recent.popleft()[1])

    def flush(self) -> None:
        """Write the channel's row."""
        self._rows.put(self._key, _encode(self._row))

    def end(self) -> None:
        """The group ended: keep the numbers, and forget the sends but for how late the latest may be resent."""
        row = self._row
        for _, chunk in self._sealed:
            self._rows.delete(self._chunk_key(chunk))
        latest = max((sent.until - limits.DEDUPE_WINDOW_MS for sent in self._sends), default=0)
        self._row = _Row(row.seq, row.counter, row.next_chunk, [], row.seq, max(row.tried_before, latest))
        self._known, self._per_device, self._sends, self._sealed = {}, {}, [], []
        self.recent.clear()
        self._recent_bytes = 0
        self.flush()

    def _seal(self) -> None:
        """Give the newest sends a row of their own."""
        row = self._row
        self._rows.put(self._chunk_key(row.next_chunk), _encode(row.tail))
        heappush(self._sealed, (max(row.tail).until, row.next_chunk))
        row.next_chunk += 1
        row.tail = []

    def _remember(self, sends: Iterable[Sent]) -> None:
        for sent in sends:
            heappush(self._sends, sent)
            self._known[sent.device, sent.client_id] = sent
            self._per_device[sent.device] = self._per_device.get(sent.device, 0) + 1

    def _remember_sealed(self, chunk: int, sends: list[Sent]) -> None:
        heappush(self._sealed, (max(sends).until, chunk))
        self._remember(sends)

    def _forget(self, now: int) -> None:
        """Drop what can't be resent any more, and the sealed rows that hold nothing else."""
        while self._sends and self._sends[0].until < now:
            self._drop(heappop(self._sends))
        while self._sealed and self._sealed[0][0] < now:
            self._rows.delete(self._chunk_key(heappop(self._sealed)[1]))

    def _drop(self, sent: Sent) -> None:
        if self._known.get((sent.device, sent.client_id)) is sent:  # else a new send has taken the forgotten id since
            del self._known[sent.device, sent.client_id]
        if (left := self._per_device[sent.device] - 1) > 0:
            self._per_device[sent.device] = left
        else:
            del self._per_device[sent.device]

    def _chunk_key(self, chunk: int) -> bytes:
        return self._chunk_prefix + keys.u64(chunk)


def _device(send: Send) -> str:
    return f"{send.sender}:{send.device}"
