"""Overload: twice the load that the pipeline sustains, for a minute.

Teams send at twice the measured throughput; beside them groups of kind `direct` send a steady trickle. Every send asks
for an answer. Afterwards, when everything is worked off, it is counted what became of each send: accepted (and then in
history, and on every link of its group) or refused with a code. A message that was accepted and is missing anywhere is
lost. How long direct messages took, from their append to that of their delivery, is compared with how long they took at
half load.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from jobs.bench.appended import ENTRY, ids_of_lot
from jobs.bench.figures import Baseline, Figure, Plot, Result, Series, at_most, exactly
from jobs.bench.ingest import BODY_BYTES, LINKS, crowd_of, messages_per_s, settle
from jobs.bench.lab import Lab, Trial
from jobs.bench.load import paced
from jobs.bench.world import Crowd, Sends
from topics import catalog

_OVER_S: Final = 60.0
_HALF_S: Final = 20.0
_DRAIN_S: Final = 300.0
_DIRECT_GROUPS: Final = 200
_DIRECT_PER_S: Final = 100.0
_DIRECT: Final = "d"
_DIRECT_LINKS: Final = 2  # a link for each of the two
_ACCEPTED: Final = b'{"t":"accepted"'
_REFUSED: Final = b'{"t":"refused"'
_SECOND_MS: Final = 1000


@dataclass(slots=True)
class Load:
    """What became of a load.

    Attributes:
        sent: messages by the second since it began.
        stored: messages in history, likewise.
        direct_ms: how long direct messages took, by the second in which they were sent.
        lost: accepted messages that are not in history or not on a link, and messages without any answer.
        refused: sends that were answered with a code.
        per_s: how many messages a second the teams did send.
    """

    sent: Counter[int] = field(default_factory=Counter)
    stored: Counter[int] = field(default_factory=Counter)
    direct_ms: dict[int, list[float]] = field(default_factory=dict)
    lost: int = 0
    refused: int = 0
    per_s: float = 0.0

    @property
    def direct_p99_ms(self) -> float:
        """Of all direct messages."""
        return float(np.percentile([took for many in self.direct_ms.values() for took in many], 99))


class _Entry(msgspec.Struct, rename={"group": "g"}):
    group: str


class _Lot(msgspec.Struct):
    entries: list[_Entry]


class _Send(msgspec.Struct):
    group: str
    client_id: str


_SENDS: Final = msgspec.json.Decoder(_Send)
_LOTS: Final = msgspec.json.Decoder(_Lot)


async def measure(lab: Lab) -> Result:
    """Half load and double load in turns."""
    rate = await messages_per_s(lab)
    halves: list[Load] = []
    overs: list[Load] = []
    for turn in range(max(1, lab.pace.repeat // 3)):
        lab.tell(f"half load, double load: {turn + 1}")
        halves.append(await run(lab, rate / 2, 3.0 if lab.quick else _HALF_S))
        overs.append(await run(lab, rate * 2, 5.0 if lab.quick else _OVER_S))
    return Result(tuple(_figures(lab, rate, halves, overs)), tuple(_plots(overs[-1])))


def _figures(lab: Lab, rate: float, halves: list[Load], overs: list[Load]) -> Iterator[Figure]:
    lost = tuple(float(load.lost) for load in overs)
    half_ms = tuple(load.direct_p99_ms for load in halves)
    ratios = tuple(over.direct_p99_ms / half for over, half in zip(overs, half_ms, strict=True))
    refused, sent = sum(load.refused for load in overs), sum(load.sent.total() for load in overs)
    note = f"At {overs[-1].per_s:,.0f} messages/s; {refused / sent:.0%} of all sends were refused with a code."
    half = Baseline(f"p99 of direct messages at {rate / 2:,.0f} messages/s", half_ms, "ms")
    if lab.wants("shed_at_2x"):
        good = tuple(float(not one and ratio <= _RATIO) for one, ratio in zip(lost, ratios, strict=True))
        yield Figure("shed_at_2x", "both_met", good, exactly(1), None, "1 where both figures below meet their targets.")
    if lab.wants("shed_at_2x_lost"):
        yield Figure("shed_at_2x_lost", "messages", lost, exactly(0), None, note)
    if lab.wants("shed_at_2x_direct_p99_ratio"):
        yield Figure("shed_at_2x_direct_p99_ratio", "ratio", ratios, at_most(_RATIO), half, note)


_RATIO: Final = 10


def _plots(over: Load) -> Iterator[Plot]:
    seconds = range(max(over.stored) + 1)
    series = (
        Series("sent", tuple(map(float, over.sent)), tuple(map(float, over.sent.values()))),
        Series("delivered and stored", tuple(map(float, seconds)), tuple(float(over.stored[one]) for one in seconds)),
    )
    title = f"Past saturation: {over.per_s:,.0f} messages/s for {max(over.sent)} s"
    yield Plot("saturation", title, "seconds since the load began", "messages/s", series)
    direct = sorted(over.direct_ms)
    percentiles = [
        Series(f"p{share}", tuple(map(float, direct)), tuple(_percentile(over.direct_ms[one], share) for one in direct))
        for share in (50, 99)
    ]
    title = "Direct messages past saturation"
    yield Plot("saturation-direct", title, "sent in second", "milliseconds", tuple(percentiles), log_y=True)


def _percentile(values: list[float], share: int) -> float:
    return float(np.percentile(values, share))


async def run(lab: Lab, rate: float, seconds: float) -> Load:
    """One load, worked off and counted."""
    async with lab.trial() as trial:
        teams = crowd_of(lab, trial)
        pairs = Crowd(_DIRECT_GROUPS, _DIRECT_LINKS, LINKS, trial.settings.partitions, "direct", _DIRECT)
        worker = await settle(trial, teams, pairs)
        since = await trial.ends(catalog.DELIVERIES)
        many, few = Sends(teams, BODY_BYTES, answered=True), Sends(pairs, BODY_BYTES, answered=True)
        async with lab.profiled(worker, f"load-{rate:.0f}"):
            load, _ = await asyncio.gather(
                paced(trial, rate, seconds, many.take), paced(trial, _DIRECT_PER_S, seconds, few.take)
            )
            await trial.consumed(worker, catalog.MESSAGES, within_s=_DRAIN_S)
        await asyncio.to_thread(worker.stop)
        found = await _count(trial, since)
        found.per_s = load.per_s
        lab.tell(
            f"  {load.per_s:,.0f} messages/s: {found.lost} lost, {found.refused} refused, "
            f"direct messages p99 {found.direct_p99_ms:,.0f} ms"
        )
        return found


async def _count(trial: Trial, since: dict[int, int]) -> Load:
    """What the topics say of each send."""
    found, began_ms = Load(), 0
    at_ms: dict[str, int] = {}
    async for record in trial.read(catalog.MESSAGES):
        send = _SENDS.decode(record.value or b"")
        if send.group.startswith(_DIRECT):
            at_ms[send.client_id] = record.timestamp
        began_ms = began_ms or record.timestamp
        found.sent[(record.timestamp - began_ms) // _SECOND_MS] += 1
    stored: Counter[bool] = Counter()
    async for record in trial.read(catalog.HISTORY):
        entries = _LOTS.decode(record.value or b"").entries
        stored.update(entry.group.startswith(_DIRECT) for entry in entries)
        found.stored[(record.timestamp - began_ms) // _SECOND_MS] += len(entries)
    delivered, accepted = 0, 0
    async for record in trial.read(catalog.DELIVERIES, since=since):
        value = record.value or b""
        delivered += value.count(ENTRY)
        accepted += value.count(_ACCEPTED)
        found.refused += value.count(_REFUSED)
        if record.partition < _DIRECT_LINKS:
            for one in ids_of_lot(record):
                if (sent_ms := at_ms.get(one)) is not None:
                    second = (sent_ms - began_ms) // _SECOND_MS
                    found.direct_ms.setdefault(second, []).append(record.timestamp - sent_ms)
    missing = stored[False] * LINKS + stored[True] * _DIRECT_LINKS - delivered
    found.lost = abs(missing) + abs(accepted - stored.total()) + abs(found.sent.total() - accepted - found.refused)
    return found
