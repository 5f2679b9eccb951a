"""Who entered and who left a channel's view, for the member lists that are kept of small channels.

Of a channel that at most `channel_list_members` see, the list is kept by flips; above it there is none, and a page of
members is computed. Whether there is one follows from how many see the channel, before and after: nothing is kept here.
Groups whose only channel is implicit need none: their members are the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from pyroaring import BitMap

from tables.audiences import Audience, Flip
from tables.groups import Group
from tables.structure import category_of
from topics.codec import encode
from topics.events import ChannelDeleted, Flips, MembersAdded, MembersRemoved, RelationEvent

if TYPE_CHECKING:
    from streams.groups.desk import Desk

_NOBODY = BitMap()


def of_event(desk: Desk, group: Group, event: RelationEvent, found: Sequence[Flip], gone: Sequence[Flip]) -> None:
    """An event was applied to a group.

    Args:
        desk: the partition.
        group: the group, as it is now.
        event: the event.
        found: what flipped by it, but for those who joined or left the group.
        gone: what those saw who left the group by it.
    """
    if group.kind != "server" or not group.ruled:
        return
    version = event.version
    match event:
        case ChannelDeleted():
            desk.tell_flips(encode(Flips(group.app, group.group, event.channel, version, ended=True)))
        case MembersAdded():
            _joined(desk, group, BitMap(event.ordinals), version)
        case MembersRemoved():
            _gone(desk, group, event, gone)
    for flip in _of_small(desk, group, found):
        for channel in flip.channels:
            if channel in group.structure.channels:
                flipped(desk, group, channel, flip.entered, flip.left, version)


def flipped(
    desk: Desk,
    group: Group,
    channel: str,
    entered: BitMap,
    left: BitMap,
    version: int,
    names: Mapping[int, str] = MappingProxyType({}),
) -> None:
    """Some entered and some left a channel: its list is changed, given anew, ended, or there was and is none.

    `names` has those of users who are members no more.
    """
    limit = desk.policies.of(group.app).channel_list_members
    audience = group.audiences.of(channel)
    after = _size(group, audience)
    before = after - len(entered) + len(left)
    if after > limit:
        if before <= limit:
            desk.tell_flips(encode(Flips(group.app, group.group, channel, version, ended=True)))
        return
    if before > limit or before == 0:
        _whole(desk, group, channel, audience, version)
    elif entered or left:
        left_names = [names[ordinal] for ordinal in left] if names else group.members.users_at(left)
        told = Flips(
            group.app,
            group.group,
            channel,
            version,
            group.members.users_at(entered),
            list(entered),
            left_names,
            list(left),
        )
        desk.tell_flips(encode(told))


def _joined(desk: Desk, group: Group, added: BitMap, version: int) -> None:
    """New members are on no list and hold no role: they see what is public, and nothing else."""
    for channel, audience in _listed(group, desk.policies.of(group.app).channel_list_members + len(added)):
        if audience.public:
            flipped(desk, group, channel, added, _NOBODY, version)


def _gone(desk: Desk, group: Group, event: MembersRemoved, gone: Sequence[Flip]) -> None:
    """Members left the group, and the channels that they saw."""
    names = dict(zip(event.ordinals, event.users, strict=True))
    for flip in _of_small(desk, group, gone):
        for channel in flip.channels:
            flipped(desk, group, channel, flip.entered, flip.left, event.version, names)


def _of_small(desk: Desk, group: Group, flips: Iterable[Flip]) -> Iterator[Flip]:
    """Those of channels that few enough see, or saw. The channels of one flip are under one rule."""
    limit = desk.policies.of(group.app).channel_list_members
    for flip in flips:
        after = _size(group, group.audiences.of(flip.channels[0])) if flip.channels else limit + 1
        if min(after, after - len(flip.entered) + len(flip.left)) <= limit:
            yield flip


def _whole(desk: Desk, group: Group, channel: str, audience: Audience | None, version: int) -> None:
    members = group.members.bits if audience is None else audience.among(group.members.bits)
    names = group.members.users_at(members)
    desk.tell_flips(encode(Flips(group.app, group.group, channel, version, names, list(members), whole=True)))


def _listed(group: Group, most: int) -> Iterator[tuple[str, Audience]]:
    """The channels that at most so many see. Looks at each audience, not at each channel."""
    structure = group.structure
    for audience in group.audiences.all():
        if _size(group, audience) <= most:
            for place in audience.places:
                followers = [place] if place in structure.channels else structure.followers(category_of(place))
                for channel in followers:
                    yield channel, audience


def _size(group: Group, audience: Audience | None) -> int:
    """How many members see it. O(1)."""
    if audience is None:
        return len(group.members)
    return len(group.members) - len(audience.exceptions) if audience.public else len(audience.exceptions)
