"""The page on channels and roles says what happens: its commands are applied, its tables compared."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from streams.groups.core import GroupsCore
from tables.groups import Group
from tables.permissions import may_in
from tables.visibility import visible
from tests.cores import Partition, groups
from topics import catalog
from topics.answers import Applied
from topics.codec import decode
from topics.wire import ToRequester

_PAGE = (Path(__file__).parents[4] / "docs" / "channels.md").read_text()
_USERS = ["ann", "bob", "eve", "joe"]


def _apply(partition: Partition, command: str) -> None:
    given: dict[str, Any] = json.loads(command) | {"app": "app", "group": "g"}
    given["reply"] = {"t": "requester", "requester": "me"}
    record = decode(catalog.RELATIONS.name, json.dumps(given).encode())
    assert record.reply == ToRequester("me")
    [answer] = partition.apply((catalog.RELATIONS, record)).told(Applied)
    assert answer.changed


def _group(partition: Partition) -> Group:
    core = partition.core
    assert isinstance(core, GroupsCore)
    return core.desk.groups.look("app", "g")


def _views(partition: Partition) -> set[tuple[str, str]]:
    """Every (user, channel) that the user sees."""
    group = _group(partition)
    structure = group.structure
    seen = set()
    for channel in structure.channels:
        ordinals = visible(structure.rule(structure.place_of(channel)), group.members.bits, group.owner)
        seen |= {(user, channel) for ordinal, user in group.members if ordinal in ordinals}
    return seen


def test_the_example_is_as_the_page_says() -> None:
    partition = groups()
    [block] = re.findall(r"```json\n(.+?)```", _PAGE, re.DOTALL)
    for command in block.splitlines():
        _apply(partition, command)
    rows = re.findall(r"^\| `(\w+)` \| (.) \| (.) \| (.) \| (.) \|", _PAGE, re.MULTILINE)
    table = {
        (user, channel) for channel, *marks in rows for user, mark in zip(_USERS, marks, strict=True) if mark == "✓"
    }
    assert len(rows) == 4
    assert _views(partition) == table
    group = _group(partition)
    senders = {
        (user, c) for ordinal, user in group.members for c in ["hall", "news"] if may_in(group, ordinal, c, "send")
    }
    assert senders == {(user, "hall") for user in _USERS} | {("ann", "news"), ("eve", "news")}

    changes = re.findall(r'^\| `({"t".+})` \| (.+) \|$', _PAGE, re.MULTILINE)
    assert len(changes) == 7
    for command, said in changes:
        before = _views(partition)
        _apply(partition, command)
        after = _views(partition)
        told = {tuple(one.split()) for one in said.split("; ")}
        entered = {(user, "enters", channel) for user, channel in after - before}
        left = {(user, "leaves", channel) for user, channel in before - after}
        assert entered | left == told
