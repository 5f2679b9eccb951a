"""Commands on the structure and the members of a group, as a seed will have it: in an order that makes sense or not."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, Literal

import msgspec

from topics.entities import EVERYONE, Permission, ViewMode
from topics.relations import (
    AddRoleMembers,
    AnswerApplication,
    AnswerInvite,
    Apply,
    BanMembers,
    CreateCategory,
    CreateChannel,
    CreateCode,
    CreateRole,
    DeleteCategory,
    DeleteChannel,
    DeleteRole,
    EditList,
    Invite,
    Join,
    Mute,
    RelationRecord,
    RemoveRoleMembers,
    SetOverride,
    TransferOwnership,
    UnbanMembers,
    UpdateCategory,
    UpdateChannel,
    UpdateGroup,
    UpdateMember,
    UpdateRole,
)

CHANNELS: Final = ("c0", "c1", "c2")
_ROLES: Final = ("r0", "r1")
_CATEGORIES: Final = ("k0",)
_PERMISSIONS: Final[tuple[Permission, ...]] = ("send", "manage_roles", "manage_channels", "mute", "kick", "invite")


class Asks:
    """Makes commands on one group."""

    def __init__(self, rng: Random, group: tuple[str, str], users: list[str], now_ms: int) -> None:
        self._rng = rng
        self._group = group
        self._users = users
        self._now_ms = now_ms

    def founding(self) -> list[RelationRecord]:
        """What a server begins with: some roles, a category, channels that not all see."""
        at, some = self._group, self._users[: len(self._users) // 2 + 1]
        return [
            CreateRole(*at, "r0", priority=3, allow=["manage_roles", "manage_channels", "mute"]),
            AddRoleMembers(*at, "r0", some),
            CreateCategory(*at, "k0", view_mode="private", white_roles=["r0"]),
            CreateChannel(*at, "c0", view_mode=self._mode(), white_roles=["r0"]),
            CreateChannel(*at, "c1", category="k0", sync=self._rng.random() < 0.7),
        ]

    def one(self) -> RelationRecord:
        """Any command; most often by the back end."""
        command = self._rng.choice(self._makers())()
        by = self._rng.choice(self._users) if self._rng.random() < 0.2 else None
        return msgspec.structs.replace(command, by=by)

    def _makers(self) -> list[Callable[[], RelationRecord]]:
        at, pick = self._group, self._rng.choice
        often: list[Callable[[], RelationRecord]] = [
            lambda: AddRoleMembers(*at, pick(_ROLES), self._some()),
            lambda: RemoveRoleMembers(*at, pick(_ROLES), self._some()),
            lambda: EditList(
                *at, pick(["black", "white"]), **self._place(), add_users=self._some(), clear=self._one_in(5)
            ),
            lambda: EditList(*at, pick(["black", "white"]), **self._place(), remove_users=self._some()),
            lambda: EditList(*at, pick(["black", "white"]), **self._place(), add_roles=[pick(_ROLES)]),
            lambda: EditList(*at, pick(["black", "white"]), **self._place(), remove_roles=[pick(_ROLES)]),
            lambda: UpdateChannel(*at, pick(CHANNELS), view_mode=self._mode()),
            lambda: UpdateChannel(*at, pick(CHANNELS), category=pick([*_CATEGORIES, None]), sync=self._one_in(2)),
            lambda: UpdateCategory(*at, pick(_CATEGORIES), view_mode=self._mode()),
            lambda: CreateChannel(*at, pick(CHANNELS), view_mode=self._mode(), black_roles=[pick(_ROLES)]),
            lambda: Mute(*at, self._soon(), users=self._some()),
            lambda: SetOverride(*at, **self._place(), role=pick([*_ROLES, EVERYONE]), deny=self._grants()),
            lambda: SetOverride(*at, **self._place(), user=pick(self._users), allow=self._grants()),
        ]
        seldom: list[Callable[[], RelationRecord]] = [
            lambda: CreateRole(*at, pick(_ROLES), priority=self._rng.randint(1, 4), allow=self._grants()),
            lambda: UpdateRole(*at, pick([*_ROLES, EVERYONE]), allow=["send", *self._grants()]),
            lambda: DeleteRole(*at, pick(_ROLES)),
            lambda: CreateCategory(*at, pick(_CATEGORIES), view_mode=self._mode(), white_roles=[pick(_ROLES)]),
            lambda: DeleteCategory(*at, pick(_CATEGORIES)),
            lambda: DeleteChannel(*at, pick(CHANNELS)),
            lambda: Mute(*at, self._soon(), channel=pick([*CHANNELS, None])),
            lambda: TransferOwnership(*at, pick(self._users)),
            lambda: BanMembers(*at, self._some()[:1], until=pick([None, self._now_ms + 3_000])),
            lambda: UnbanMembers(*at, self._some()),
            lambda: Invite(*at, pick(["i0", "i1"]), pick(self._users), expires_at=self._now_ms + 2_000),
            lambda: AnswerInvite(*at, pick(["i0", "i1"]), accept=self._one_in(2)),
            lambda: Apply(*at, pick(["i0", "i1"]), pick(self._users)),
            lambda: AnswerApplication(*at, pick(["i0", "i1"]), accept=self._one_in(2)),
            lambda: CreateCode(*at, "code", uses=2, expires_at=self._now_ms + 3_000),
            lambda: Join(*at, pick(self._users), pick([None, "code"])),
            lambda: UpdateMember(*at, pick(self._users), nick=pick(["", "n"])),
            lambda: UpdateGroup(*at, join_mode=pick(["open", "apply", "invite"])),
        ]
        return [*often, *often, *seldom]

    def _some(self) -> list[str]:
        return self._rng.sample(self._users, self._rng.randint(1, 3))

    def _grants(self) -> list[Permission]:
        return self._rng.sample(_PERMISSIONS, self._rng.randint(0, 2))

    def _place(self) -> dict[str, Any]:
        return {"category": "k0"} if self._one_in(4) else {"channel": self._rng.choice(CHANNELS)}

    def _mode(self) -> ViewMode:
        modes: tuple[Literal["public"], Literal["private"]] = "public", "private"
        return self._rng.choice(modes)

    def _soon(self) -> int:
        return self._now_ms + self._rng.choice([-1_000, 1_000, 4_000])

    def _one_in(self, count: int) -> bool:
        return self._rng.randrange(count) == 0
