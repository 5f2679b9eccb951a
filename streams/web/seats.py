"""Who asks about a group, and what of it that asker may see. Every question about relations begins here.

A user sees the groups that it is a member of, and in them what it sees as a member; the app's gateways and admins see
all. What somebody may not see is told like what does not exist; what needs a permission is `not_permitted`.
"""

from __future__ import annotations

from typing import NamedTuple

from pyroaring import BitMap

from streams.groups.core import GroupsCore
from streams.web.asks import OfGroup
from streams.web.problems import ProblemError
from streams.web.relation_answers import State
from streams.web.tokens import Claims
from tables import keys, visibility
from tables.groups import Group
from tables.permissions import may
from topics.entities import Permission
from topics.keys import key_of


class Seat(NamedTuple):
    """A group, and who asks.

    Attributes:
        group: the group.
        ordinal: of the member who asks; None: a gateway or admin does, who sees all.
        state: whether a change of the group is under way.
        now_ms: the partition's clock.
    """

    group: Group
    ordinal: int | None
    state: State
    now_ms: int

    def may(self, permission: Permission) -> bool:
        """Whether the asker may do this on the group's level."""
        return self.ordinal is None or may(self.group, self.ordinal, permission)

    def need(self, permission: Permission) -> None:
        """Go on only for who may do this.

        Raises:
            ProblemError: not_permitted.
        """
        if not self.may(permission):
            raise ProblemError("not_permitted", f"It takes the permission `{permission}`.")

    def sees(self, channel: str) -> bool:
        """Whether there is such a channel for the asker."""
        return self.group.has_channel(channel) and (
            self.ordinal is None or member_sees(self.group, self.ordinal, channel)
        )

    def need_channel(self, channel: str) -> None:
        """Go on only for who sees the channel.

        Raises:
            ProblemError: unknown_channel.
        """
        if not self.sees(channel):
            raise ProblemError("unknown_channel")


def seat_of(core: GroupsCore, ask: OfGroup, asker: Claims) -> Seat:
    """The group, if it lives and the asker may see it. Whoever may not stops here.

    Raises:
        ProblemError: unknown_group.
    """
    group = found(core, ask, asker)
    ordinal = group.members.ordinal_of(asker.sub) if asker.caller == "user" else None
    if not group.alive or (asker.caller == "user" and ordinal is None):
        raise ProblemError("unknown_group")
    return Seat(group, ordinal, state_of(core, group), core.desk.now_ms)


def found(core: GroupsCore, ask: OfGroup, asker: Claims) -> Group:
    """The group, alive or deleted, if there is one in the asker's app; nothing is loaded for a name made up.

    Raises:
        ProblemError: unknown_group.
    """
    desk = core.desk
    if asker.app != ask.app or desk.rows.get(keys.GROUP + key_of(ask.app, ask.group)) is None:
        raise ProblemError("unknown_group")
    return desk.groups.look(ask.app, ask.group)


def state_of(core: GroupsCore, group: Group) -> State:
    """Whether a change of the group that comes in parts, or a clean-up, is under way."""
    desk = core.desk
    working = group.change_sets.open(desk.now_ms) or desk.chores.concern(group.app, group.group)
    return "computed" if working else "final"


def member_sees(group: Group, ordinal: int, channel: str) -> bool:
    """Whether a member sees a channel that there is."""
    if group.kind != "server":
        return True
    structure = group.structure
    return visibility.sees(structure.rule(structure.place_of(channel)), ordinal, group.owner)


def seen_by(group: Group, channel: str) -> BitMap:
    """Every member who sees a channel that there is; to be read."""
    if group.kind != "server":
        return group.members.bits
    structure = group.structure
    return visibility.visible(structure.rule(structure.place_of(channel)), group.members.bits, group.owner)
