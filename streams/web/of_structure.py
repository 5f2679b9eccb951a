"""What a server consists of, as somebody sees it; who sees a channel and may do what there, and why."""

from __future__ import annotations

from typing import Literal

from streams.groups.core import GroupsCore
from streams.web.asks import OfGroup
from streams.web.cursors import cursor_for
from streams.web.of_members import by_join
from streams.web.problems import ProblemError
from streams.web.relation_answers import (
    AccessAnswer,
    CategoriesAnswer,
    ChannelsAnswer,
    ChannelSeen,
    Decided,
    ListAnswer,
    Member,
    OverridesAnswer,
    OverrideSeen,
    RoleHeld,
    RolesAnswer,
)
from streams.web.seats import Seat, member_sees, seat_of
from streams.web.tokens import Claims
from tables import visibility
from tables.grants import names_of
from tables.groups import Group
from tables.permissions import held, why
from tables.roles import DEFAULT
from tables.structure import ACTIVE, Place, category_of, category_place
from topics.entities import EVERYONE, PERMISSIONS, Channel, ListName, Permission
from topics.messages import MAIN
from topics.wire import U32, Id

PlaceKind = Literal["channel", "category"]


class ChannelsAsk(OfGroup, frozen=True, tag="channels"):
    """Which channels does a user see, after this one?

    Attributes:
        limit: how many at most.
        after: the last of the page before.
        user: about whom a gateway or admin asks; None: all there are. Users ask about themselves.
    """

    limit: int
    after: Id | None = None
    user: Id | None = None

    @property
    def name(self) -> str:
        """Names the list."""
        return f"channels {self.app} {self.group} {self.user or ''}"

    def answer(self, core: GroupsCore, asker: Claims) -> ChannelsAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        group = seat.group
        ordinal = seat.ordinal if seat.ordinal is not None else group.members.ordinal_of(self.user or "")
        everything = seat.ordinal is None and self.user is None
        seen = channels_of(group) if everything else _seen(group, ordinal)
        names = sorted(name for name in seen if name > (self.after or ""))
        grants = _Grants(group, ordinal)
        found = [_channel(group, seen[name], grants) for name in names[: self.limit]]
        next_ = cursor_for(self.name, names[self.limit - 1]) if len(names) > self.limit else None
        return ChannelsAnswer(group.version, seat.state, found, next_)


class CategoriesAsk(OfGroup, frozen=True, tag="categories"):
    """Which categories are there?"""

    def answer(self, core: GroupsCore, asker: Claims) -> CategoriesAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        group = seat.group
        categories = group.structure.categories if group.ruled else {}
        if not seat.may("manage_channels") and seat.ordinal is not None:
            seen = {channel.category for channel in _seen(group, seat.ordinal).values()}
            rules = {name: group.structure.rule(category_place(name)) for name in categories}
            categories = {
                name: info
                for name, info in categories.items()
                if name in seen or visibility.sees(rules[name], seat.ordinal, group.owner)
            }
        return CategoriesAnswer(group.version, seat.state, [categories[name] for name in sorted(categories)])


class RolesAsk(OfGroup, frozen=True, tag="roles"):
    """Which roles are there?"""

    def answer(self, core: GroupsCore, asker: Claims) -> RolesAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        group = seat.group
        if not group.ruled:
            return RolesAnswer(group.version, seat.state, [RoleHeld(DEFAULT, len(group.members))])
        roles = group.structure.roles
        infos = sorted(roles.infos.values(), key=lambda role: (-role.priority, role.role))
        counts = {info.role: len(roles.members(info.role)) for info in infos if info.role != EVERYONE}
        found = [RoleHeld(info, counts.get(info.role, len(group.members))) for info in infos]
        return RolesAnswer(group.version, seat.state, found)


class ListAsk(OfGroup, frozen=True, tag="list"):
    """Who is on a list of a channel or category, from this ordinal on?"""

    place_kind: PlaceKind
    place: Id
    which: ListName
    limit: int
    start: U32 = 0

    @property
    def name(self) -> str:
        """Names the list."""
        return f"list {self.app} {self.group} {self.place_kind} {self.place} {self.which}"

    def answer(self, core: GroupsCore, asker: Claims) -> ListAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        group, place = seat.group, _place(seat, self.place_kind, self.place)
        seat.need("manage_channels")
        users = group.structure.listed_users(place, self.which)
        run = by_join(group, users, self.limit, self.start)
        return ListAnswer(
            group.version,
            seat.state,
            self.which,
            ACTIVE[group.structure.view_mode(place)] == self.which,
            group.structure.listed_roles(place, self.which),
            len(users),
            [Member(ordinal, user) for ordinal, user in run.members],
            None if run.next is None else cursor_for(self.name, run.next),
        )


class OverridesAsk(OfGroup, frozen=True, tag="overrides"):
    """Who is allowed and denied what in a channel or category?"""

    place_kind: PlaceKind
    place: Id

    def answer(self, core: GroupsCore, asker: Claims) -> OverridesAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        group, place = seat.group, _place(seat, self.place_kind, self.place)
        seat.need("manage_channels")
        found: list[OverrideSeen] = []
        for holder, grant in group.structure.overrides(place).items():
            role = holder if isinstance(holder, str) else None
            users = group.members.users_from(holder, 1) if isinstance(holder, int) else []
            user = next((user for ordinal, user in users if ordinal == holder), None)
            found.append(OverrideSeen(role, user, names_of(grant.allow), names_of(grant.deny)))
        return OverridesAnswer(group.version, seat.state, found)


class AccessAsk(OfGroup, frozen=True, tag="access"):
    """Does a user see a channel, what may it do there, and why?

    Attributes:
        channel: which.
        user: about whom; None: the asker.
    """

    channel: Id
    user: Id | None = None

    def answer(self, core: GroupsCore, asker: Claims) -> AccessAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        group = seat.group
        seat.need_channel(self.channel)
        user = self.user or asker.sub
        if asker.caller == "user" and user != asker.sub:
            seat.need("manage_channels")
        ordinal = group.members.ordinal_of(user)
        seen, mode, follows = _why_seen(group, self.channel, ordinal)
        place = self.channel if group.kind == "server" else None
        decided = [] if ordinal is None else [_decided(group, ordinal, one, place) for one in PERMISSIONS]
        return AccessAnswer(
            group.version,
            seat.state,
            user,
            ordinal is not None,
            seen.sees,
            list(seen.words),
            list(seen.roles),
            mode,
            follows,
            decided,
        )


def channels_of(group: Group) -> dict[str, Channel]:
    """Every channel of a group, the implicit one among them."""
    if group.kind != "server":
        return {MAIN: Channel(MAIN)}
    return group.structure.channels if group.ruled else {}


def _seen(group: Group, ordinal: int | None) -> dict[str, Channel]:
    """The channels that a member sees, or who is none."""
    channels = channels_of(group)
    if group.kind != "server":
        return channels if ordinal is not None else {}
    if ordinal is None:
        return {name: info for name, info in channels.items() if _visitor(group, name).sees}
    return {name: info for name, info in channels.items() if member_sees(group, ordinal, name)}


def _visitor(group: Group, channel: str) -> visibility.Why:
    structure = group.structure
    mode = structure.view_mode(structure.place_of(channel))
    return visibility.why_visitor(structure.channels[channel].visitor_mode, mode)


def _why_seen(
    group: Group, channel: str, ordinal: int | None
) -> tuple[visibility.Why, Literal["public", "private"], str | None]:
    """Whether somebody sees a channel and why; the mode that counts, and the category that it is of."""
    if group.kind != "server":
        word: visibility.Word = "visitors_do_not" if ordinal is None else "public"
        return visibility.Why(ordinal is not None, (word,)), "public", None
    structure = group.structure
    place, info = structure.place_of(channel), structure.channels[channel]
    follows = info.category if place != channel else None
    if ordinal is None:
        return _visitor(group, channel), structure.view_mode(place), follows
    return visibility.why(structure.rule(place), ordinal, group.owner), structure.view_mode(place), follows


def _decided(group: Group, ordinal: int, permission: Permission, place: Place | None) -> Decided:
    found = why(group, ordinal, permission, place)
    category = None
    if found.place is not None and found.place not in group.structure.channels:
        category = category_of(found.place)
    return Decided.of(permission, found, category)


class _Grants:
    """What a member may do in each channel. Channels without overrides share one answer."""

    def __init__(self, group: Group, ordinal: int | None) -> None:
        self._group = group
        self._ordinal = ordinal
        self._by_levels: dict[tuple[Place, ...], list[Permission]] = {}

    def of(self, channel: str) -> list[Permission] | None:
        """In one channel; None where nobody is asked about."""
        if self._ordinal is None:
            return None
        group = self._group
        levels: tuple[Place, ...] = ()
        if group.ruled:
            levels = tuple(level for level in group.structure.levels(channel) if group.structure.overrides(level))
        if (found := self._by_levels.get(levels)) is None:
            found = names_of(held(group, self._ordinal, channel if levels else None))
            self._by_levels[levels] = found
        return found


def _channel(group: Group, info: Channel, grants: _Grants) -> ChannelSeen:
    numbers = group.numbers(info.channel)
    first = numbers.floor + 1 if numbers.seq > numbers.floor else 0
    return ChannelSeen(info, numbers.seq, first, grants.of(info.channel))


def _place(seat: Seat, kind: PlaceKind, name: str) -> Place:
    """A channel that the asker sees, or a category.

    Raises:
        ProblemError: unknown_channel, unknown_category.
    """
    group = seat.group
    if kind == "channel":
        seat.need_channel(name)
        if group.kind != "server":
            raise ProblemError("unknown_channel")
        return name
    if not group.ruled or name not in group.structure.categories:
        raise ProblemError("unknown_category")
    return category_place(name)
