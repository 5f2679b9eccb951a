"""What a command must lead to, given its group as it was: which events, or which codes of refusal are right.

One function a type of command, on the plain relations of `jobs.verify.relations`. Where several reasons speak against a
command, each of their codes is right: which is told first is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from jobs.verify.lives import Life
from jobs.verify.relations import Relations
from jobs.verify.verdicts import entry, members, roles, structure
from jobs.verify.verdicts.case import Case, Judge, Told, Verdict, told, told_of
from topics.answers import Code
from topics.entities import Profile
from topics.policy import Policy
from topics.relations import CreateGroup, RelationRecord

_DIRECT_USERS: Final = 2
_PROFILE: Final = Profile.__struct_fields__
_JUDGES: Final[dict[type, Judge]] = members.JUDGES | entry.JUDGES | structure.JUDGES | roles.JUDGES

__all__ = ["Told", "Verdict", "told", "told_of", "verdict"]


def verdict(
    relations: Relations,
    command: RelationRecord,
    version: int,
    at_ms: int,
    used: Mapping[tuple[int, str], int],
    policy: Policy,
) -> Verdict:
    """What a command must lead to.

    Args:
        relations: its group.
        command: it.
        version: the group's version before it.
        at_ms: when it was appended.
        used: (version at which an invite code was made, it) -> how often it was used.
        policy: the limits of its app.
    """
    life = relations.life.at(version)
    if isinstance(command, CreateGroup):
        return _created(life, command, version, policy)
    if life is None:
        return Verdict(codes=frozenset({"unknown_group"}), maybe=frozenset({"version_changed"}))
    case = Case(life, command, version, at_ms, used, policy)
    case.refuse("version_changed", when=command.expected is not None and command.expected != version)
    _JUDGES[type(command)](case, command)
    return case.verdict()


def _created(life: Life | None, command: CreateGroup, version: int, policy: Policy) -> Verdict:
    codes: set[Code] = set()
    if life is not None:
        codes.add("group_exists")
    if command.expected is not None and command.expected != version:
        codes.add("version_changed")
    if command.kind == "direct" and len(set(command.members)) != _DIRECT_USERS:
        codes.add("direct_needs_two")
    if command.owner is not None and command.owner not in command.members:
        codes.add("unknown_member")
    if command.by is not None and command.owner not in {None, command.by}:
        codes.add("not_permitted")
    if len(set(command.members)) > policy.group_members:
        codes.add("limit_reached")
    if codes:
        return Verdict(codes=frozenset(codes))
    users = list(dict.fromkeys(command.members))
    profile = Profile(**{name: getattr(command, name) for name in _PROFILE})
    created = told("GroupCreated", by=command.by, kind=command.kind, users=users, owner=command.owner, profile=profile)
    return Verdict((created,))
