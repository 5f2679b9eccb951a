"""Observers: those who listen to a group are told *what* of it changed since which version, and pull.

A change of a million members is a few entries a link: changes inside the app's window are merged (see
`tables.hints`). What concerns one channel is told to those who see it, to nobody else; who hears of a channel and who
began or ceased to see it is told by audience, or by link, never by member. Who was removed hears it in person, and by
its sessions' unbinding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from pyroaring import BitMap

from streams.groups.audiences import Reach, as_text, listeners, subscribers
from tables.audiences import Flip
from tables.groups import Group
from tables.hints import Pending
from tables.outbox import Outlet
from topics import limits
from topics.codec import encode
from topics.deliveries import Changed, What
from topics.events import (
    CategoryCreated,
    CategoryDeleted,
    CategoryUpdated,
    ChannelUpdated,
    GroupUpdated,
    Happened,
    ListEdited,
    MembersAdded,
    MembersRemoved,
    MemberUpdated,
    Muted,
    OverrideSet,
    OwnerChanged,
    RoleCreated,
    RoleDeleted,
    RoleMembersAdded,
    RoleMembersRemoved,
    RoleUpdated,
)
from topics.subscriptions import MESSAGE_LEVELS

if TYPE_CHECKING:
    from streams.groups.desk import Desk
    from tables.subscriptions import Kind


def of_event(desk: Desk, group: Group, event: Happened) -> None:
    """Those who listen are to be told of an event: not of bans, requests and codes.

    That a channel came to be or ended is a change of visibility for those who see it, see `of_flips`.
    """
    match event:
        case GroupUpdated() | OwnerChanged() | Muted(users=[], channel=None):
            changed(desk, group, ["group"])
        case MembersAdded() | MembersRemoved() | MemberUpdated() | Muted(channel=None):
            changed(desk, group, ["members"])
        case RoleCreated() | RoleUpdated() | RoleDeleted() | RoleMembersAdded() | RoleMembersRemoved():
            changed(desk, group, ["roles"])
        case ChannelUpdated(channel=info):
            changed(desk, group, channels=[info.channel])
        case Muted(channel=str(channel)) | ListEdited(channel=str(channel)) | OverrideSet(channel=str(channel)):
            changed(desk, group, channels=[channel])
        case ListEdited(category=str(category)) | OverrideSet(category=str(category)):
            changed(desk, group, channels=group.structure.followers(category))
        case CategoryCreated() | CategoryUpdated() | CategoryDeleted():
            changed(desk, group, ["channels"])
        case _:
            return


def changed(desk: Desk, group: Group, what: Iterable[What] = (), channels: Sequence[str] = ()) -> None:
    """Something changed with the group's newest version.

    Args:
        desk: the partition.
        group: the group.
        what: what changed for everybody.
        channels: channels that are other than they were, for those who see them.
    """
    if (what or channels) and (group.map.outlets or group.asked):  # who begins to listen later pulls then
        pending = _pending(desk, group, group.version - 1)
        pending.add(what)
        pending.add_channels(channels)


def of_flips(desk: Desk, group: Group, flips: Iterable[Flip]) -> None:
    """Members see other channels than before: those are to be told whose links no delta of an audience tells."""
    by_links: dict[tuple[Outlet, ...], BitMap] = {}
    for flip in flips:
        told = flip.audience.told if flip.audience is not None else {}
        if links := tuple([outlet for outlet in group.map.outlets if outlet not in told]):
            by_links.setdefault(links, BitMap()).update(flip.entered, flip.left)
    for links, flipped in by_links.items():
        for outlet in links:
            if here := flipped & group.map.ordinals(outlet):
                _pending(desk, group, group.version - 1).add_flipped(outlet, here)


def tell(desk: Desk, now_ms: int) -> None:
    """Tell what is to be told now. To be called after all that changes groups."""
    now_ms = max(now_ms, desk.now_ms)
    for key in desk.hints.due(now_ms):
        app, _, name = key.decode().partition(":")
        group = desk.groups.touch(app, name)
        desk.settle(group)  # those who listen from this batch on hear of it, those who left do not
        pending = desk.hints.take(key, now_ms, desk.policies.of(app).notice_window_ms)
        if group.alive:
            desk.counts["hints"] += _tell(group, pending)


def _pending(desk: Desk, group: Group, since: int) -> Pending:
    return desk.hints.of(group.key, since, desk.now_ms)


def _tell(group: Group, pending: Pending) -> int:
    """Tell it; returns how many entries that took."""
    of_audiences: dict[Reach, list[str]] = {}
    for channel in pending.channels:
        if group.has_channel(channel):
            of_audiences.setdefault(listeners(group, channel), []).append(channel)
    for_all = of_audiences.pop(Reach(0, 0, group.map.outlets), [])
    if "channels" in pending.what:
        for_all = []  # there are others, which have no name
    elif for_all:
        pending.add(["channels"])
    told = _tell_all(group, pending, for_all)
    told += _tell_subscribers(group, pending)
    for reach, channels in of_audiences.items():
        told += _tell_some(group, pending, reach, channels)
    for outlet, flipped in pending.flipped.items():
        bound = group.map.ordinals(outlet)
        if members := flipped & bound:
            text = "" if members == bound else as_text(members)
            if len(text) > limits.LOT_BYTES:
                text = ""  # so many that the rest may look as well
            told += _put(group, pending, ["visibility"], [], Reach(0, 0, [outlet]), members=text)
    return told


def _tell_all(group: Group, pending: Pending, channels: list[str]) -> int:
    """What changed for everybody: to all who listen; of a group that nobody hears unasked, to those who subscribed."""
    if not pending.what:
        return 0
    told = 0
    observers: Reach | None = Reach(0, 0, group.map.outlets)
    if group.joined == "none":
        observers = subscribers(group, group.subscribers("server"))
    if observers is not None:
        told += _put(group, pending, pending.what, channels, observers)
    if (visitors := subscribers(group, group.subscribers("visitor_server"))) is not None:
        told += _put(group, pending, pending.what, [], visitors)
    return told


def _tell_some(group: Group, pending: Pending, reach: Reach, channels: list[str]) -> int:
    """What changed for those who see some channels."""
    if group.joined != "none":
        return _put(group, pending, ["channels"], channels, reach)
    if (server := subscribers(group, group.subscribers("server"), reach.outlets)) is None:
        return 0
    reach = reach._replace(outlets=server.outlets)
    return _put(group, pending, ["channels"], channels, reach, among=server.audience)


def _tell_subscribers(group: Group, pending: Pending) -> int:
    """What changed of channels, to those who subscribed to them in a group that nobody hears unasked."""
    told = 0
    for channel in pending.channels if group.joined == "none" else ():
        for level in MESSAGE_LEVELS:
            reach = subscribers(group, group.subscribers(cast("Kind", level), channel))
            if reach is not None:
                told += _put(group, pending, ["channels"], [channel], reach)
    return told


def _put(
    group: Group,
    pending: Pending,
    what: list[What],
    channels: list[str],
    reach: Reach,
    *,
    members: str = "",
    among: int = 0,
) -> int:
    """One entry a link; returns how many that are."""
    entry = Changed(
        group.app,
        group.group,
        group.version,
        pending.since,
        what,
        channels,
        members,
        reach.audience,
        reach.version,
        among,
    )
    return reach.put(encode(entry))
