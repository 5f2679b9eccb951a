"""Who is a member of a group, sees a channel, holds a role: page by page, by joining or by weight."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Final, Literal, NamedTuple

import msgspec
from pyroaring import BitMap

from streams.groups.core import GroupsCore
from streams.web.asks import OfGroup
from streams.web.cursors import cursor_for
from streams.web.problems import ProblemError
from streams.web.relation_answers import Member, MemberAnswer, MembersAnswer, Part
from streams.web.seats import Seat, seat_of, seen_by
from streams.web.tokens import Claims
from tables.grants import names_of
from tables.groups import Group
from tables.permissions import held
from topics import limits
from topics.entities import MemberProfile
from topics.wire import U32, Id

#: By joining (the lowest ordinal first), or by weight (the highest first, then by joining).
Order = Literal["join", "weight"]


class _MembersAsk(OfGroup, frozen=True):
    """Some members.

    Attributes:
        limit: how many at most.
        start: where the page begins: an ordinal, or where they are sorted by weight, `weight:ordinal`.
        order: how they are sorted.
        part: whether profiles are told.
        role: only who holds this role.
    """

    limit: int
    start: U32 | str = 0
    order: Order = "join"
    part: Part = "hot"
    role: Id | None = None

    @property
    def name(self) -> str:
        """Names the list."""
        return f"members {self.app} {self.group} {self.order} {self.role or ''}"

    def page(self, seat: Seat, of: BitMap) -> MembersAnswer:
        """The page of these members.

        Raises:
            ProblemError: bad_cursor, unknown_role, too_many_to_sort.
        """
        group = seat.group
        if self.role is not None:
            of = of & holders(group, self.role)
        if isinstance(self.start, int) and self.order == "join":
            run = by_join(group, of, self.limit, self.start)
        else:
            run = _by_weight(group, of, self.limit, self.start or None)
        members = [_member(seat, ordinal, user, self.part) for ordinal, user in run.members]
        cursor = None if run.next is None else cursor_for(self.name, run.next)
        return MembersAnswer(group.version, len(of), members, seat.state, cursor)


class MembersAsk(_MembersAsk, frozen=True, tag="members"):
    """Who is a member?"""

    def answer(self, core: GroupsCore, asker: Claims) -> MembersAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        return self.page(seat, seat.group.members.bits)


class ChannelMembersAsk(_MembersAsk, frozen=True, kw_only=True, tag="channel_members"):
    """Who sees a channel?"""

    channel: Id

    @property
    def name(self) -> str:
        """Names the list."""
        return f"{super().name} in {self.channel}"

    def answer(self, core: GroupsCore, asker: Claims) -> MembersAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        seat.need_channel(self.channel)
        return self.page(seat, seen_by(seat.group, self.channel))


class MemberAsk(OfGroup, frozen=True, tag="member"):
    """What is one member?"""

    member: Id

    def answer(self, core: GroupsCore, asker: Claims) -> MemberAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        group = seat.group
        if (ordinal := group.members.ordinal_of(self.member)) is None:
            raise ProblemError("unknown_member")
        roles = list(group.structure.roles.of(ordinal)) if group.ruled else []
        permissions = names_of(held(group, ordinal))
        member = _member(seat, ordinal, self.member, "all")
        return MemberAnswer(
            group.version,
            seat.state,
            ordinal,
            self.member,
            ordinal == group.owner,
            roles,
            permissions,
            member.profile or MemberProfile(),
            member.joined_at,
            member.how,
        )


class Run(NamedTuple):
    """A page of members, and where the next one begins."""

    members: list[tuple[int, str]]
    next: int | str | None


def by_join(group: Group, of: BitMap, limit: int, start: int) -> Run:
    """Some of these members in the order of joining. Looks at no more than VIEW_PAGES pages of names."""
    wanted = list(islice(of.iter_equal_or_larger(start), limit + 1))
    pages = list(dict.fromkeys(ordinal // limits.PAGE_ORDINALS for ordinal in wanted))
    if len(pages) > limits.VIEW_PAGES:
        wanted = [one for one in wanted if one // limits.PAGE_ORDINALS <= pages[limits.VIEW_PAGES]]
        limit = min(limit, sum(one // limits.PAGE_ORDINALS < pages[limits.VIEW_PAGES] for one in wanted))
    return Run(list(named(group, wanted[:limit])), wanted[limit] if len(wanted) > limit else None)


def named(group: Group, ordinals: Iterable[int]) -> Iterator[tuple[int, str]]:
    """(ordinal, user) of these members; those of a page stand together."""
    for page, of_page in groupby(ordinals, key=lambda ordinal: ordinal // limits.PAGE_ORDINALS):
        users = dict(group.members.on_page(page))
        for ordinal in of_page:
            if ordinal in users:
                yield ordinal, users[ordinal]


def holders(group: Group, role: str) -> BitMap:
    """Who holds a role; to be read.

    Raises:
        ProblemError: unknown_role.
    """
    if not group.ruled or not group.structure.roles.given(role):
        raise ProblemError("unknown_role")
    return group.structure.roles.members(role)


def _by_weight(group: Group, of: BitMap, limit: int, start: int | str | None) -> Run:
    """Some of these members, the heaviest first; those of one weight in the order of joining.

    Raises:
        ProblemError: bad_cursor; too_many_to_sort.
    """
    if len(group.profiles) > limits.WEIGHT_PROFILES:
        raise ProblemError("too_many_to_sort")
    begin = _weighed(start)
    weights = ((-profile.weight, ordinal) for ordinal, profile in group.profiles.scan() if profile.weight)
    heavy = sorted(place for place in weights if place[1] in of)
    plain = of - BitMap([ordinal for _, ordinal in heavy])
    first = 0 if begin[0] < 0 else begin[1] if begin[0] == 0 else plain.max() + 1 if plain else 0
    middle = ((0, ordinal) for ordinal in plain.iter_equal_or_larger(first))
    above, below = ([one for one in heavy if (one[0] < 0) is before] for before in (True, False))
    places = (place for run in (above, middle, below) for place in run if place >= begin)
    wanted = list(islice(places, limit + 1))
    users = dict(named(group, sorted(ordinal for _, ordinal in wanted[:limit])))
    next_ = f"{wanted[limit][0]}:{wanted[limit][1]}" if len(wanted) > limit else None
    return Run([(ordinal, users[ordinal]) for _, ordinal in wanted[:limit]], next_)


def _weighed(place: int | str | None) -> tuple[int, int]:
    """(negative weight, ordinal) at which a page begins.

    Raises:
        ProblemError: bad_cursor.
    """
    if not isinstance(place, str):
        return -(2**63), 0
    if (found := _PLACE.fullmatch(place)) is None:
        raise ProblemError("bad_cursor")
    return int(found[1]), int(found[2])


_PLACE: Final = re.compile(r"(-?[0-9]{1,10}):([0-9]{1,10})")


def _member(seat: Seat, ordinal: int, user: str, part: Part) -> Member:
    if part == "hot":
        return Member(ordinal, user)
    group = seat.group
    profile = group.profiles.of(ordinal)
    if group.ruled and (until := group.mutes.muted(ordinal, seat.now_ms)):
        profile = msgspec.structs.replace(profile, muted_until=until)
    origin = group.origins.of(ordinal)
    told = None if profile == MemberProfile() else profile
    return Member(ordinal, user, told, origin.at if origin else 0, origin.how if origin else None)
