"""One more listener in a very large audience: what its link is sent.

Measured in this process, on the groups core over rows in memory: the bytes of the record for the member's link, head of
the lot included. A member who sees a private channel together with a million others begins to listen; and one who
listens already is shown it by a role. Counted is the dearer of the two. The hint that roles changed, which comes later
and once for all changes of a window, is told apart.
"""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import Raw

from jobs.bench.fanout import LINKS, Core
from jobs.bench.figures import Baseline, Figure, Result, at_most
from jobs.bench.lab import Lab
from jobs.bench.server import in_parts
from jobs.bench.world import APP, DEVICE, EPOCH, link_name
from jobs.problem import Problem
from tables.batch import Outputs, Record
from topics import catalog, limits
from topics.bindings import Bind, BindingLot, Unbind
from topics.codec import encode
from topics.messages import Send
from topics.relations import AddRoleMembers, Asked, CreateChannel, CreateRole, RemoveRoleMembers

_ROLE: Final = "citizens"
_CHANNEL: Final = "square"
_JOINS: Final = 50
_REST_MS: Final = 2 * limits.NOTICE_WINDOW_MS


async def measure(lab: Lab) -> Result:
    """`audience_bytes_per_join`."""
    members = 10_000 if lab.quick else 1_000_000
    lab.tell(f"a server of {members:,} in this process")
    begun, shown, hints = await asyncio.to_thread(_bytes, members)
    figure = Figure(
        "audience_bytes_per_join",
        "bytes",
        tuple(float(max(pair)) for pair in zip(begun, shown, strict=True)),
        at_most(250),
        Baseline("of these, a session that begins to listen", tuple(map(float, begun)), "bytes"),
        f"{_JOINS} members, one after the other, each in a batch of its own, in an audience of {members:,}, all online "
        f"on {LINKS} links. A hint that roles changed is a record of {max(hints)} bytes.",
    )
    return Result((figure,))


def _bytes(members: int) -> tuple[list[int], list[int], list[int]]:
    core = Core(members, "server")
    crowd = core.crowd
    group, users = crowd.group(0), [crowd.user(0, ordinal) for ordinal in range(members)]
    commands: list[Asked] = [CreateRole(APP, group, _ROLE)]
    commands += in_parts(AddRoleMembers, users, "give", app=APP, group=group, role=_ROLE)
    commands.append(CreateChannel(APP, group, _CHANNEL, view_mode="private", white_roles=[_ROLE]))
    for command in commands:
        _ask(core, command)
    said = Send(APP, group, users[0], DEVICE, "c", limits.DEDUPE_WINDOW_MS, Raw(b'"hello"'), _CHANNEL)
    said_to = core.apply([core.record(catalog.MESSAGES.name, encode(said))])[0]
    if len(said_to.records) < LINKS:  # else the links were not told who hears it
        raise Problem(f"The message that tells the links of the audience was not delivered: {said_to.counts}")
    core.rest(_REST_MS)
    begun, shown, hints = [], [], []
    for ordinal in range(0, members, members // _JOINS):
        link = crowd.link(ordinal)
        slot = crowd.slot(0, ordinal)
        core.apply([_bindings(core, Unbind(APP, group, ordinal, link_name(link), EPOCH, slot))])
        bind = Bind(APP, group, users[ordinal], ordinal, link_name(link), EPOCH, link, slot + members)
        begun.append(_size(core.apply([_bindings(core, bind)])[0], link))
        _ask(core, RemoveRoleMembers(APP, group, _ROLE, [users[ordinal]]))
        core.rest(_REST_MS)
        shown.append(_size(_ask(core, AddRoleMembers(APP, group, _ROLE, [users[ordinal]])), link))
        hints.append(_size(core.rest(_REST_MS), link))
    return begun, shown, hints


def _ask(core: Core, command: Asked) -> Outputs:
    return core.apply([core.record(catalog.RELATIONS.name, encode(command))])[0]


def _bindings(core: Core, entry: Bind | Unbind) -> Record:
    return core.record(catalog.BINDINGS.name, encode(BindingLot([entry])))


def _size(outputs: Outputs, link: int) -> int:
    return sum(len(value) for _, value in outputs.records.get((catalog.DELIVERIES.name, link), []))
