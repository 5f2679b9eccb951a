"""Sessions that come, and sessions that go on: how many a second the pipeline takes.

People are in 20 of 10,000 groups each, on 20 links; one users and one groups worker run side by side, and share the
cores with the broker. Records are written to `sessions` as fast as it goes. The clock begins with the broker's append
time of the first of them and ends with that of the last delivery which follows from them; every one is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from jobs.bench.figures import Baseline, Figure, Result, at_least
from jobs.bench.lab import Filling, Lab, Trial
from jobs.bench.people import DEVICE, Pair, People, addresses, bound, first_ms, listened, settle
from jobs.bench.world import APP
from jobs.problem import Problem
from topics import catalog
from topics.codec import encode
from topics.sessions import Lost, Resume

_LINKS: Final = 20
_WITHIN_S: Final = 240.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        sessions: that come in a repetition, one a user.
        groups: how many there are.
        each: groups of a user.
        resumes: in a repetition.
    """

    sessions: int = 30_000
    groups: int = 10_000
    each: int = 20
    resumes: int = 60_000

    @staticmethod
    def of(lab: Lab) -> Sizes:
        """Small ones where the lab is in a hurry."""
        return Sizes(300, 200, 20, 600) if lab.quick else Sizes()


async def measure(lab: Lab) -> Result:
    """`session_ups_per_s` and `resumes_per_s`."""
    sizes = Sizes.of(lab)
    ups: list[float] = []
    resumes: list[float] = []
    flips: list[float] = []
    async with lab.trial(links=_LINKS) as trial:
        users = sizes.sessions * lab.pace.repeat
        people = People(users, sizes.groups, sizes.each, trial.settings.partitions, tuple(addresses(_LINKS)))
        pair = await settle(lab, trial, people)
        for turn in range(lab.pace.repeat):
            fresh = range(turn * sizes.sessions, (turn + 1) * sizes.sessions)
            lab.tell(f"session_ups: {turn + 1} of {lab.pace.repeat}")
            ups.append(await _ups(lab, trial, pair, people, fresh))
            lab.tell(f"  {ups[-1]:,.0f} sessions/s")
            if lab.wants("resumes_per_s"):
                for lost, rates in ((False, resumes), (True, flips)):
                    rates.append(await _resumes(lab, trial, pair, people, fresh, sizes.resumes, lost=lost))
                    lab.tell(f"  {rates[-1]:,.0f} resumes/s{', each lost before' if lost else ''}")
    return Result(tuple(one for one in _figures(sizes, ups, resumes, flips) if lab.wants(one.name)))


def _figures(sizes: Sizes, ups: list[float], resumes: list[float], flips: list[float]) -> Iterator[Figure]:
    joins = tuple(rate * sizes.each for rate in ups)
    yield Figure(
        "session_ups_per_s",
        "sessions/s",
        tuple(ups),
        at_least(1_500),
        Baseline("the same in sessions bound to groups", joins, "binds/s"),
        f"{sizes.sessions:,} sessions of users in {sizes.each} of {sizes.groups:,} groups each, on {_LINKS} links, "
        f"until the last of {sizes.sessions * sizes.each:,} binds was told to its link.",
    )
    if resumes:
        yield Figure(
            "resumes_per_s",
            "resumes/s",
            tuple(resumes),
            at_least(5_000),
            Baseline("the same when each session is told as lost first", tuple(flips), "resumes/s"),
            f"{sizes.resumes:,} resumes of sessions on the link and slot where they are, until the last was answered. "
            "Nothing follows for the groups role, which runs beside.",
        )


async def _ups(lab: Lab, trial: Trial, pair: Pair, people: People, users: range) -> float:
    """Sessions a second: these users come online."""
    told, asked = await trial.ends(catalog.DELIVERIES), await trial.ends(catalog.SESSIONS)
    async with lab.profiled(pair.groups, "ups-groups"), lab.profiled(pair.users, "ups-users"):
        await trial.fill(catalog.SESSIONS.name, people.ups(users))
        await listened(trial, pair)
    last_ms = await bound(trial, told, len(users) * people.each)
    return len(users) / (last_ms - await first_ms(trial, catalog.SESSIONS, asked)) * 1000


class _Entry(msgspec.Struct):
    tag: str = msgspec.field(name="t", default="")
    known: bool = False


class _Lot(msgspec.Struct):
    entries: list[_Entry] = []


_LOTS: Final = msgspec.json.Decoder(_Lot)
_MARK: Final = b'"t":"resumed"'


async def _resumes(
    lab: Lab, trial: Trial, pair: Pair, people: People, users: range, count: int, *, lost: bool
) -> float:
    """Resumes a second: these users' sessions go on where they are, in turns."""
    told, asked = await trial.ends(catalog.DELIVERIES), await trial.ends(catalog.SESSIONS)
    bindings = await trial.ends(catalog.BINDINGS)
    async with lab.profiled(pair.users, "resumes"):
        await trial.fill(catalog.SESSIONS.name, _resuming(people, users, count, lost=lost))
        await trial.consumed(pair.users, catalog.SESSIONS, within_s=_WITHIN_S)
    answered, last_ms = 0, 0.0
    async for record in trial.read(catalog.DELIVERIES, since=told):
        value = record.value or b""
        if _MARK in value:
            answered += sum(entry.known for entry in _LOTS.decode(value).entries if entry.tag == "resumed")
            last_ms = max(last_ms, record.timestamp)
    if answered != count or await trial.ends(catalog.BINDINGS) != bindings:
        raise Problem(f"Of {count:,} resumes {answered:,} were answered, or one of them changed what is bound")
    return count / (last_ms - await first_ms(trial, catalog.SESSIONS, asked)) * 1000


def _resuming(people: People, users: range, count: int, *, lost: bool) -> Iterator[Filling]:
    for number in range(count):
        user = users[number % len(users)]
        link, was = people.link_of(user), people.was(user)
        name = people.name(user)
        if lost:
            yield *people.user_keyed(user), encode(Lost(APP, name, link.link, link.epoch, user))
        resume = Resume(APP, name, DEVICE, link.link, link.epoch, link.partition, user, was)
        yield *people.user_keyed(user), encode(resume)
