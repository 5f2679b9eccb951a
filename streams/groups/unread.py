"""New messages to those who hear of them by notices: merged by channel and link, the newest seq and how many [S1, S2].

The first after a pause is told at once, with its batch; what follows inside the app's window is told as one when it is
over. Who a notice is for is decided when it is told: whoever came to show the channel meanwhile was told its head.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from streams.groups.audiences import Reach, listeners, subscribers
from streams.groups.ways import Way, has_background
from tables.ground import sides_of
from tables.groups import Group
from tables.subscriptions import Kind
from tables.unread import Unread, channel_of
from topics import deliveries
from topics.codec import encode
from topics.deliveries import Mode
from topics.subscriptions import Level

if TYPE_CHECKING:
    from streams.groups.desk import Desk
    from tables.outbox import Outlet


def note(desk: Desk, group: Group, channel: str, way: Way) -> None:
    """A message was accepted and went out this way: who did not get it is to be told."""
    visitors = has_background(desk, group.subscribers("visitor", channel))
    if way.background or visitors or way.slow or (way.mode is not None and _wanted(desk, group, channel)):
        unread = desk.unread.of(group.key, channel, desk.now_ms)
        unread.count += 1
        unread.background |= way.background or visitors
        unread.mode = way.mode or unread.mode
        unread.slow.update(dict.fromkeys(way.slow))
    if way.mode is not None and group.subscribers("unread_status", channel) is not None:
        desk.unread_status.of(group.key, channel, desk.now_ms).count += 1


def tell(desk: Desk, now_ms: int) -> None:
    """Tell what is to be told now."""
    now_ms = max(now_ms, desk.now_ms)
    for key in desk.unread.due(now_ms):
        app, name, channel = channel_of(key)
        unread = desk.unread.take(key, now_ms, desk.policies.of(app).unread_window_ms)
        if (group := _group(desk, app, name, channel)) is not None:
            desk.counts["unread"] += _tell(desk, group, channel, unread)
            desk.counts["unread_messages"] += unread.count
    for key in desk.unread_status.due(now_ms):
        app, name, channel = channel_of(key)
        desk.unread_status.take(key, now_ms, desk.policies.of(app).status_window_ms)
        if (group := _group(desk, app, name, channel)) is not None and group.joined == "none":
            reach = subscribers(group, group.subscribers("unread_status", channel))
            desk.counts["unread"] += _put(group, channel, 1, reach, level="unread_status")


def _wanted(desk: Desk, group: Group, channel: str) -> bool:
    """Whether anybody hears of a narrow channel by notices of how many there are."""
    if group.joined != "none" or group.subscribers("unread_count", channel) is not None:
        return True
    return has_background(desk, group.subscribers("messages", channel))


def _group(desk: Desk, app: str, name: str, channel: str) -> Group | None:
    """The group, its links told of all that changed before; None if it, or the channel, is no more."""
    group = desk.groups.touch(app, name)
    if not group.alive or not group.has_channel(channel):
        return None
    desk.settle(group)
    return group


def _tell(desk: Desk, group: Group, channel: str, unread: Unread) -> int:
    """Tell it; returns how many entries that took."""
    count = unread.count
    told = _tell_turned(desk, group, channel, count, "visitor")
    if group.joined == "none":
        return told + _tell_subscribers(desk, group, channel, count)
    reach = listeners(group, channel)
    if unread.mode is not None:
        return told + _tell_others(group, channel, count, reach, unread.mode)
    told += _tell_others(group, channel, count, reach._replace(outlets=_in(reach.outlets, unread.slow)), "slow")
    if unread.background and desk.ground.any:
        back = sides_of(group, desk.ground).back
        outlets = [outlet for outlet in reach.outlets if outlet in back and outlet not in unread.slow]
        told += _put(group, channel, count, reach._replace(outlets=outlets), background=True)
    return told


def _tell_subscribers(desk: Desk, group: Group, channel: str, count: int) -> int:
    """Of a group that nobody hears unasked: those who count, and those who show it, but in the background."""
    told = _put(group, channel, count, subscribers(group, group.subscribers("unread_count", channel)))
    return told + _tell_turned(desk, group, channel, count, "messages")


def _tell_turned(desk: Desk, group: Group, channel: str, count: int, show: Kind) -> int:
    """Those who show it, but in the background."""
    of = group.subscribers(show, channel)
    if of is None or not desk.ground.any:
        return 0
    back = [outlet for outlet in of.outlets if of.on(outlet).intersect(desk.ground.on(outlet))]
    return _put(group, channel, count, subscribers(group, of, back), background=True)


def _tell_others(group: Group, channel: str, count: int, reach: Reach, mode: Mode) -> int:
    """All who see it, but those who show it in the foreground."""
    shown = subscribers(group, group.subscribers("messages", channel), reach.outlets)
    if shown is None:
        return _put(group, channel, count, reach, mode=mode)
    beside = dict.fromkeys(shown.outlets)
    others = [outlet for outlet in reach.outlets if outlet not in beside]
    told = _put(group, channel, count, reach._replace(outlets=others), mode=mode)
    both = reach._replace(outlets=_in(reach.outlets, beside))
    return told + _put(group, channel, count, both, mode=mode, beside=shown.audience)


def _put(
    group: Group,
    channel: str,
    count: int,
    reach: Reach | None,
    *,
    level: Level = "unread_count",
    background: bool = False,
    beside: int = 0,
    mode: Mode = "usual",
) -> int:
    """One entry a link; returns how many that are."""
    if reach is None or not reach.outlets:
        return 0
    entry = encode(
        deliveries.Unread(
            group.app,
            group.group,
            channel,
            group.numbers(channel).seq,
            count,
            group.version,
            group.map.version,
            reach.audience,
            reach.version,
            beside,
            background,
            level,
            mode,
        )
    )
    return reach.put(entry)


def _in(outlets: Iterable[Outlet], some: dict[Outlet, None]) -> list[Outlet]:
    return [outlet for outlet in outlets if outlet in some]
