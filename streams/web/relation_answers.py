"""What views answer of relations: members, channels, roles, lists, requests, and what changed.

Each answer is exact at once: it is computed from the group's metadata, in memory, and names the `version` that it is
of. `state` says whether anything of it is still being worked off.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from streams.web.answers import Next
from tables.permissions import Why as WhyMay
from tables.visibility import Word
from topics.entities import Category, Channel, Code, ListName, MemberProfile, Permission, Role, ViewMode
from topics.events import How
from topics.wire import U32, Count, Id, Millis

#: `computed`: a change of the group that comes in parts, or a clean-up, is under way; `final`: none is. Both are exact.
State = Literal["computed", "final"]
#: Hot attributes change with every joining; cold ones are profiles and names.
Part = Literal["hot", "cold", "all"]


class Member(Struct, frozen=True, omit_defaults=True):
    """A member.

    Attributes:
        ordinal: the member's number, in the order of joining; never given again while the group lives.
        user: who.
        profile: what it is in the group; absent without `part=all`, and where it has none.
        joined_at: since when; absent without `part=all`.
        how: how it became a member.
    """

    ordinal: U32
    user: Id
    profile: MemberProfile | None = None
    joined_at: Millis = 0
    how: How | None = None


class MembersAnswer(Struct, frozen=True, omit_defaults=True):
    """Some members, of a group, a channel or a role. A page may be short, even empty: go on while there is `next`.

    Attributes:
        version: the group's version that this page is of.
        count: how many there are in all.
        members: those of this page.
        state: whether a change is under way.
        next: where the next page begins.
    """

    version: Count
    count: Count
    members: list[Member]
    state: State = "final"
    next: Next = None


class MemberAnswer(Struct, frozen=True, omit_defaults=True):
    """One member.

    Attributes:
        version: the group's version.
        state: whether a change is under way.
        ordinal: the member's number.
        user: who.
        owner: whether it is the owner.
        roles: the roles that it holds, the highest first, without `everyone`.
        permissions: what it may do on the group's level.
        profile: what it is in the group.
        joined_at: since when.
        how: how it became a member.
    """

    version: Count
    state: State
    ordinal: U32
    user: Id
    owner: bool
    roles: list[Id]
    permissions: list[Permission]
    profile: MemberProfile = MemberProfile()
    joined_at: Millis = 0
    how: How | None = None


class ChannelSeen(Struct, frozen=True, omit_defaults=True):
    """A channel, as one user sees it.

    Attributes:
        channel: what it is.
        head: its newest seq; 0 if it has none.
        first: the oldest seq that can be pulled; 0 if there is none.
        permissions: what the user may do there; absent where no user is asked about.
    """

    channel: Channel
    head: Count
    first: Count
    permissions: list[Permission] | None = None


class ChannelsAnswer(Struct, frozen=True, omit_defaults=True):
    """Channels of a group that a user sees, by id.

    Attributes:
        version: the group's version.
        state: whether a change is under way.
        channels: those of this page.
        next: where the next page begins.
    """

    version: Count
    state: State
    channels: list[ChannelSeen]
    next: Next = None


class CategoriesAnswer(Struct, frozen=True):
    """The categories of a group, by id: for a user, those that it sees or sees a channel in.

    Attributes:
        version: the group's version.
        state: whether a change is under way.
        categories: what each is.
    """

    version: Count
    state: State
    categories: list[Category]


class RoleHeld(Struct, frozen=True):
    """A role.

    Attributes:
        role: what it is.
        members: how many hold it.
    """

    role: Role
    members: Count


class RolesAnswer(Struct, frozen=True):
    """The roles of a group, the highest first; the last is `everyone`.

    Attributes:
        version: the group's version.
        state: whether a change is under way.
        roles: all of them.
    """

    version: Count
    state: State
    roles: list[RoleHeld]


class ListAnswer(Struct, frozen=True, omit_defaults=True):
    """A white or black list of a channel or category.

    Attributes:
        version: the group's version.
        state: whether a change is under way.
        which: which list.
        active: whether the view mode picks it; the other one lies dormant.
        roles: the roles on it.
        count: how many users are on it.
        members: the users of this page, in the order of joining.
        next: where the next page begins.
    """

    version: Count
    state: State
    which: ListName
    active: bool
    roles: list[Id]
    count: Count
    members: list[Member]
    next: Next = None


class OverrideSeen(Struct, frozen=True, omit_defaults=True):
    """What a role or a member is allowed and denied in one place."""

    role: Id | None = None
    user: Id | None = None
    allow: list[Permission] = []
    deny: list[Permission] = []


class OverridesAnswer(Struct, frozen=True):
    """The overrides of a channel or category.

    Attributes:
        version: the group's version.
        state: whether a change is under way.
        overrides: all of them.
    """

    version: Count
    state: State
    overrides: list[OverrideSeen]


class Decided(Struct, frozen=True, omit_defaults=True):
    """Whether a user may do something in a channel, and what decides.

    Attributes:
        permission: what.
        may: whether.
        by: `owner`; `roles` or `member`: whose grant it is; `nothing`: nobody grants it.
        channel: the channel whose override decides.
        category: the category whose override decides; neither: the roles on the group's level do.
        roles: the roles that decide.
    """

    permission: Permission
    may: bool
    by: Literal["owner", "roles", "member", "nothing"]
    channel: Id | None = None
    category: Id | None = None
    roles: list[Id] = []

    @classmethod
    def of(cls, permission: Permission, why: WhyMay, category_of: str | None) -> Decided:
        """The same in words; `category_of`: the category that the deciding place is, if it is one."""
        channel = why.place if category_of is None else None
        return cls(permission, why.may, why.by, channel, category_of, list(why.roles))


class AccessAnswer(Struct, frozen=True, omit_defaults=True):
    """Whether a user sees a channel and what it may do there, and why.

    Attributes:
        version: the group's version.
        state: whether a change is under way.
        user: who.
        member: whether the user is one.
        sees: whether the user sees the channel.
        words: which words of the rule decide: `owner`, `public`, `black_user`, `black_role`, `white_user`,
            `white_role`, `not_on_white_list`; of who is no member `visitors_see`, `visitors_do_not`.
        roles: the roles on the list that it was decided by.
        view_mode: the mode that counts: the category's where the channel follows it.
        follows: that category.
        permissions: each permission and what decides; none of who is no member.
    """

    version: Count
    state: State
    user: Id
    member: bool
    sees: bool
    words: list[Word]
    roles: list[Id] = []
    view_mode: ViewMode = "public"
    follows: Id | None = None
    permissions: list[Decided] = []


class Banned(Struct, frozen=True, omit_defaults=True):
    """A user who is kept out.

    Attributes:
        user: who.
        until: up to when; absent: until the ban is lifted.
    """

    user: Id
    until: Millis | None = None


class BansAnswer(Struct, frozen=True, omit_defaults=True):
    """Users who are kept out of a group, by name.

    Attributes:
        version: the group's version.
        state: whether a change is under way.
        bans: those of this page.
        next: where the next page begins.
    """

    version: Count
    state: State
    bans: list[Banned]
    next: Next = None


class OpenRequest(Struct, frozen=True, omit_defaults=True):
    """An open invite or application.

    Attributes:
        id: its id.
        user: who is to become a member.
        at: since when it is open.
        expires_at: up to when it may be accepted.
        by: who invited; absent: the app's back end.
        text: for whoever answers.
    """

    id: Id
    user: Id
    at: Millis
    expires_at: Millis
    by: Id | None = None
    text: str = ""


class RequestsAnswer(Struct, frozen=True, omit_defaults=True):
    """Open invites or applications of a group, by the users' names.

    Attributes:
        version: the group's version.
        state: whether a change is under way.
        requests: those of this page.
        next: where the next page begins.
    """

    version: Count
    state: State
    requests: list[OpenRequest]
    next: Next = None


class CodesAnswer(Struct, frozen=True):
    """The invite codes of a group.

    Attributes:
        version: the group's version.
        state: whether a change is under way.
        codes: all that have not ended.
    """

    version: Count
    state: State
    codes: list[Code]


class ChangeSetAnswer(Struct, frozen=True):
    """How far a change that comes in parts has come.

    Attributes:
        version: the group's version.
        state: whether any change is under way.
        change_set: which.
        parts: how many parts there are.
        came: how many were applied.
        changed: users and things that they changed.
        finished: whether all came.
        since: the group's version before the first of them: ask for the changes since it.
        upto: the group's version after the newest.
        begun_at: when the first was applied.
        last_at: when the newest was.
    """

    version: Count
    state: State
    change_set: Id
    parts: Count
    came: Count
    changed: Count
    finished: bool
    since: Count
    upto: Count
    begun_at: Millis
    last_at: Millis


class ChangesAnswer(Struct, frozen=True, omit_defaults=True):
    """What changed in a group after a version, in order.

    Attributes:
        version: the group's version now.
        state: whether a change is under way.
        upto: the changes reach up to this version: ask from here on.
        more: whether there are further ones.
        changes: each event as it stands on `relation-events`: see `relation-events.json`.
        snapshot: too much happened since: read the group anew, page by page, then the changes since the version of the
            first page.
        alive: whether the group lives; a deleted one has no views but this.
    """

    version: Count
    state: State
    upto: Count
    more: bool
    changes: list[dict[str, Any]]
    snapshot: bool = False
    alive: bool = True
