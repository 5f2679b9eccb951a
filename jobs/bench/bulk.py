"""A server of a million comes to be and ends: members, their own lists of groups, every row.

Groups and users worker run side by side. The clock begins with the broker's append time of the first command and ends
with that of the last record which either of them committed to its changelog for it: then the members' own groups are in
the users role, or gone from it, and no row of an ended server is left to be removed. Nobody is online.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import msgspec

from jobs.bench.caller import Caller, calling
from jobs.bench.figures import Baseline, Figure, Result, at_most
from jobs.bench.lab import Lab, Trial, Worker
from jobs.bench.server import SHARE, Server
from jobs.bench.world import APP
from jobs.problem import Problem
from topics import catalog, limits
from topics.memberships import Joined, Left, MembershipLot
from topics.relations import DeleteGroup

_LINKS: Final = 4
_AT_ONCE: Final = 4
_QUIET_S: Final = 2.0
_POLL_S: Final = 0.25
_WITHIN_S: Final = 600.0
_BACK: Final = 64  # offsets at the end of a partition among which its last record is found
_CHANGELOGS: Final = (catalog.GROUPS_CHANGELOG, catalog.USERS_CHANGELOG)
_LOTS: Final = msgspec.json.Decoder(MembershipLot)


@dataclass(slots=True)
class _Turn:
    """One server's life, in seconds, and how many users were told of it."""

    import_s: float
    asked_s: float
    delete_s: float
    joined: int
    left: int


async def measure(lab: Lab) -> Result:
    """`import_1m_members_s` and `server_1m_delete_s`."""
    members = 20_000 if lab.quick else 1_000_000
    turns = []
    async with lab.trial(links=_LINKS) as trial:
        groups = await trial.start_worker("groups", "groups")
        users = await trial.start_worker("users", "users")
        async with calling(trial) as caller:
            for number in range(lab.pace.repeat):
                server = Server(members, _LINKS, trial.settings.partitions, f"i{number}-")
                turns.append(await _turn(lab, trial, (groups, users), caller, server))
    return Result(tuple(figure for figure in _figures(members, turns) if lab.wants(figure.name)))


async def _turn(lab: Lab, trial: Trial, workers: tuple[Worker, Worker], caller: Caller, server: Server) -> _Turn:
    groups, users = workers
    since = await trial.ends(catalog.MEMBERSHIPS)
    lab.tell(f"{server.members:,} members are imported")
    async with lab.profiled(groups, f"import-{server.name}"), lab.profiled(users, f"import-users-{server.name}"):
        done = await caller.ask_all(server.imported(), _AT_ONCE)
        import_s = (await _settled(trial, workers) - done[0].appended_ms) / 1000
    asked_s = (done[-1].answered_ms - done[0].appended_ms) / 1000
    joined = await _told(trial, since, Joined)
    lab.tell(f"  {import_s:,.1f} s, of which {asked_s:,.1f} s until the last part was answered")
    since = await trial.ends(catalog.MEMBERSHIPS)
    await caller.ask_all(server.role("citizens", server.some(server.members // SHARE, seed=1)), _AT_ONCE)
    await caller.ask(server.private("council", "citizens"))
    async with lab.profiled(groups, f"delete-{server.name}"), lab.profiled(users, f"delete-users-{server.name}"):
        ended = await caller.ask(DeleteGroup(APP, server.name))
        delete_s = (await _settled(trial, workers) - ended.appended_ms) / 1000
    lab.tell(f"  deleted in {delete_s:,.1f} s")
    left = await _told(trial, since, Left)
    if (joined, left) != (server.members, server.members):
        raise Problem(f"Of {server.members} members {joined} were told that they joined, {left} that they left")
    return _Turn(import_s, asked_s, delete_s, joined, left)


async def _settled(trial: Trial, workers: tuple[Worker, Worker]) -> float:
    """Wait until both roles have done everything and rest; when the last record of it was appended."""
    groups, users = workers
    await trial.consumed(groups, catalog.RELATIONS, within_s=_WITHIN_S)
    until_s = time.monotonic() + _WITHIN_S
    before, quiet_s = -1, time.monotonic()
    while time.monotonic() - quiet_s < _QUIET_S:
        written = sum([await trial.written(topic.name) for topic in _CHANGELOGS])
        if written != before:
            before, quiet_s = written, time.monotonic()
        if time.monotonic() > until_s:
            raise Problem(f"The workers do not come to rest:\n\n{groups.last_words()}\n\n{users.last_words()}")
        await asyncio.sleep(_POLL_S)
    await trial.consumed(users, catalog.MEMBERSHIPS, within_s=_WITHIN_S)
    last_ms = 0
    for topic in _CHANGELOGS:
        ends = await trial.ends(topic)
        async for record in trial.read(topic, since={part: max(0, end - _BACK) for part, end in ends.items()}):
            last_ms = max(last_ms, record.timestamp)
    return float(last_ms)


async def _told(trial: Trial, since: dict[int, int], kind: type[Joined | Left]) -> int:
    """How many users were told that they joined, or left."""
    count = 0
    async for record in trial.read(catalog.MEMBERSHIPS, since=since):
        entries = _LOTS.decode(record.value or b"").entries
        count += sum(len(one.users) for one in entries if isinstance(one, kind))
    return count


def _figures(members: int, turns: list[_Turn]) -> tuple[Figure, Figure]:
    asked = tuple(turn.asked_s for turn in turns)
    return (
        Figure(
            "import_1m_members_s",
            "s",
            tuple(turn.import_s for turn in turns),
            at_most(60),
            Baseline("until the last part was answered: the members are in the server", asked, "s"),
            f"{members:,} users become members of one server in lots of {limits.LOT_USERS:,}, {_AT_ONCE} of them under "
            "way at once, until the users role has committed everybody's groups.",
        ),
        Figure(
            "server_1m_delete_s",
            "s",
            tuple(turn.delete_s for turn in turns),
            at_most(60),
            None,
            "The same server, with a role of a fifth of its members and a private channel, is deleted: until every "
            "row of it is removed and the users role has forgotten it for everybody.",
        ),
    )
