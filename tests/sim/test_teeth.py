"""The simulator has teeth: with one rule of the pipeline broken, some world among a few shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager as Context
from contextlib import ExitStack
from itertools import count
from typing import Any, Final
from unittest.mock import patch

import pytest
from pyroaring import BitMap

import tables.groups
from streams.groups import audiences, bindings, cleanup, dispatch, unread
from streams.groups.desk import Desk
from streams.links.core import LinksCore
from streams.users import core as users_core
from streams.users import sessions
from streams.users.desk import Desk as UsersDesk
from tables import sight, structure
from tables.audiences import Audiences
from tables.bans import Bans
from tables.channels import Channel
from tables.ground import Ground
from tables.linkmap import LinkMap
from tables.members import Members
from tables.outbox import Outlet
from tables.quiet import Quiet
from tables.roles import Roles
from tables.rolls import Rolls
from tables.rows import LOCAL, Rows
from tables.structure import Structure
from tables.visibility import visible_among
from tests.sim import lane
from tests.sim.broker import Broker, Log, Producer
from tests.sim.lane import Applied, SimLane
from tests.sim.run import run
from tests.sim.store import SimStore
from topics.bindings import Bind
from topics.sessions import Down

_SEEDS: Final = 150

Break = Callable[[], Context[Any]]


def _nothing(*_: object, **__: object) -> None:
    """Instead of doing it."""


# -- the lane's order of steps ---------------------------------------------------------------------------------------


def _store_before_commit() -> Context[Any]:
    whole = SimLane._commit

    def early(self: SimLane, applied: Applied) -> Iterator[str]:
        logged = [key for key in applied.changes if not key.startswith(LOCAL)]
        log = self._room.broker.log(*self.place)
        self.store.write(applied.changes, len(log.entries) + len(logged) if logged else self.store.offset)
        yield from whole(self, applied)

    return patch.object(SimLane, "_commit", early)


def _offsets_before_commit() -> Context[Any]:
    def at_once(self: Producer, group: str, offsets: dict[tuple[str, int], int]) -> None:
        self._broker.committed.update({(group, *place): offset for place, offset in offsets.items()})

    return patch.object(Producer, "send_offsets", at_once)


def _offsets_after_commit() -> Context[Any]:
    whole = SimLane._commit

    def late(self: SimLane, applied: Applied) -> Iterator[str]:
        yield from whole(self, applied)
        yield "send offsets"
        for topic, offset in applied.offsets.items():
            self._room.broker.committed[self.kind.group, topic, self.partition] = offset

    return _all(patch.object(Producer, "send_offsets", _nothing), patch.object(SimLane, "_commit", late))


def _read_uncommitted() -> Context[Any]:
    return _all(
        patch.object(Log, "stable_end", property(lambda self: len(self.entries))),
        patch.object(Log, "sees", lambda _, entry: not entry.marker and not entry.gone),
    )


def _no_fencing() -> Context[Any]:
    whole, numbers = Broker.start_producer, count()
    return patch.object(Broker, "start_producer", lambda self, name: whole(self, f"{name}-{next(numbers)}"))


def _changelog_not_read() -> Context[Any]:
    return patch.object(SimLane, "_recover", lambda _, __: iter(()))


def _local_rows_not_made() -> Context[Any]:
    return patch.object(lane, "index", lambda *_: {})


def _old_store_taken_as_new() -> Context[Any]:
    whole = SimStore.copy

    def copy(self: SimStore) -> SimStore:
        older = whole(self)
        older.offset += 3
        return older

    return patch.object(SimStore, "copy", copy)


# -- the cores -------------------------------------------------------------------------------------------------------


def _bind_strangers() -> Context[Any]:
    def bind(desk: Desk, group: tables.groups.Group, entry: Bind) -> None:
        if (outlet := desk.outbox.outlet(entry.link, entry.epoch, entry.partition)) is not None:
            group.map.bind(entry.ordinal, outlet, entry.slot)

    return patch.object(bindings, "_bind", bind)


def _late_down_ends_all() -> Context[Any]:
    def down(desk: UsersDesk, down: Down) -> None:
        held = sessions.held_by(desk, down.app, down.user)
        sessions._drop(desk, down.app, down.user, held, held)

    return patch.dict(users_core._SESSIONS, {Down: down})


def _version_stands_still() -> Context[Any]:
    whole = LinkMap.take_changes

    def take(self: LinkMap) -> Any:
        version = self.version
        changes = whole(self)
        self.version = version
        return changes

    return patch.object(LinkMap, "take_changes", take)


def _lots_from_one_after_take_over() -> Context[Any]:
    whole = Rows.get
    return patch.object(Rows, "get", lambda self, key: None if key == b"n" else whole(self, key))


def _take_untold(group: tables.groups.Group) -> None:
    group.audiences.take_told(group.map, group.version)


def _owner_as_others() -> Context[Any]:
    return patch.object(sight, "visible_among", lambda rule, among, _: visible_among(rule, among, None))


_BROKEN: Final[dict[str, Break]] = {
    "the local rows are written before the commit": _store_before_commit,
    "offsets are committed before the transaction": _offsets_before_commit,
    "offsets are committed after the transaction": _offsets_after_commit,
    "inputs are read uncommitted": _read_uncommitted,
    "an old owner is not fenced": _no_fencing,
    "the old owner is fenced last": lambda: patch.object(
        SimLane, "OPENING", ("_read_changelog", "_read_offsets", "_fence")
    ),
    "the changelog is not read": _changelog_not_read,
    "local rows are not made anew": _local_rows_not_made,
    "an old local copy says it is newer": _old_store_taken_as_new,
    "what a failed handler changed is kept": lambda: patch.object(Rows, "discard", _nothing),
    "resends are not known": lambda: patch.object(Channel, "known", _nothing),
    "sends are not remembered in rows": lambda: patch.object(Channel, "_remember_sealed", _nothing),
    "a removed member's bindings stay": lambda: patch.object(LinkMap, "end", _nothing),
    "a bind is taken from anybody": _bind_strangers,
    "members leave no trace of leaving": lambda: patch.object(Rolls, "leave", _nothing),
    "an ended group's members are not told": lambda: patch.object(Members, "take_pages", staticmethod(lambda *_: [])),
    "a dead link is told to nobody": lambda: patch.object(LinksCore, "_tell", _nothing),
    "a dead link's rows are not swept": lambda: patch.object(cleanup, "_sweep", _nothing),
    "dead links stay in Link maps": lambda: patch.object(LinkMap, "prune", _nothing),
    "a late down ends newer sessions": _late_down_ends_all,
    "a reset is not said": lambda: patch.object(Outlet, "reset", _nothing),
    "a Link map's version stands still": _version_stands_still,
    "lots are numbered from 1 after a take-over": _lots_from_one_after_take_over,
    "bindings are told after the messages": lambda: patch.object(dispatch, "_deliver", _deliver_before_settled),
    "changes of audiences are not told": lambda: patch.object(audiences, "tell_changes", _take_untold),
    "a change of who holds a role is not followed": lambda: patch.object(Structure, "_touched_by", lambda *_: {}),
    "a list's change is not followed": lambda: patch.object(Structure, "_decides", lambda *_: False),
    "the dormant list decides": lambda: patch.dict(structure.ACTIVE, {"public": "white", "private": "black"}),
    "a follower keeps its own lists": lambda: patch.object(Structure, "place_of", lambda _, channel: channel),
    "the owner sees no more than others": _owner_as_others,
    "a new listener is not told its audiences": lambda: patch.object(Audiences, "of_ordinal", lambda *_: []),
    "a link that begins anew is taken to know its audiences": lambda: patch.object(Audiences, "forget", _nothing),
    "all are named, whoever sees it": lambda: patch.object(Audiences, "of", _nothing),
    "mutes are not asked for": lambda: patch.object(dispatch, "_muted_until", lambda *_: 0),
    "permission to send is not asked for": lambda: patch.object(dispatch, "may_in", lambda *_: True),
    "who lost a role may still do what it allowed": lambda: patch.object(Roles, "remove", lambda *_: BitMap()),
    "bans are not asked for": lambda: patch.object(Bans, "_live", _nothing),
    "quiet channels are kept in memory only": lambda: patch.object(Quiet, "heard", _heard_in_memory),
    "notices in place of messages are not told": lambda: patch.object(unread, "_put", lambda *_, **__: 0),
    "who is in the background is not kept": lambda: patch.object(Ground, "flush", _nothing),
    "quiet channels are not announced": lambda: patch.object(dispatch, "announce_heads", _nothing),
}


def _deliver_before_settled(desk: Desk, group: tables.groups.Group, send: Any, channel: Channel) -> None:
    outlets, group.map.outlets = group.map.outlets, ()
    _deliver(desk, group, send, channel)
    group.map.outlets = outlets


_deliver = dispatch._deliver


def _heard_in_memory(self: Quiet, group: bytes, now_ms: int) -> None:
    self._due[group] = now_ms + 700
    self._due.move_to_end(group)


def _all(*patches: Context[Any]) -> ExitStack:
    stack = ExitStack()
    for one in patches:
        stack.enter_context(one)
    return stack


@pytest.mark.parametrize("rule", _BROKEN)
def test_a_broken_rule_shows(rule: str) -> None:
    with _BROKEN[rule]():
        shown = next((broken for seed in range(_SEEDS) if (broken := run(seed).broken)), None)
    assert shown is not None, f"nobody noticed that {rule}"
    assert "replay: python -m tests.sim --seed" in shown
