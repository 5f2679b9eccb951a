"""By which way what is sent into a channel reaches sessions: as it is, or as a notice that there is something.

A channel goes *wide* where its members hear it unasked: as it is to everybody who sees it and is in the foreground. It
goes *narrow* where its group is driven so, while it is in a burst, and to links that don't keep up: as it is to the
sessions that show it, which is to say subscribed to its messages, and as notices to the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from streams.groups.audiences import Reach, listeners, subscribers
from tables.ground import sides_of
from tables.groups import Group
from topics.deliveries import Mode

if TYPE_CHECKING:
    from streams.groups.desk import Desk
    from tables.outbox import Outlet
    from tables.subscriptions import Subscribers


class Way(NamedTuple):
    """How something goes out now.

    Attributes:
        reaches: whom it goes to as it is; they share no session.
        background: whether some who see it are in the background.
        mode: why it goes narrow everywhere; None: it does not.
        slow: links to which alone it goes narrow.
    """

    reaches: Sequence[Reach]
    background: bool = False
    mode: Mode | None = None
    slow: Sequence[Outlet] = ()


def goes_to_all(desk: Desk, group: Group) -> bool:
    """Whether whatever is sent into the group now goes as it is to everybody who listens to it."""
    return group.plain and not (desk.ground.any or desk.outbox.any_slow or desk.bursts)


def way_of(desk: Desk, group: Group, channel: str) -> Way:
    """How what is sent into a channel now goes out. O(links)."""
    if (mode := _mode(desk, group, channel)) is not None:
        return Way(_shown(desk, group, channel, None), mode=mode)
    reach = listeners(group, channel)
    outlets, background = reach.outlets, False
    if desk.ground.any:
        sides = sides_of(group, desk.ground)
        background = any(outlet in sides.back for outlet in outlets)
        outlets = [outlet for outlet in outlets if outlet in sides.front]
    slow = [outlet for outlet in reach.outlets if outlet.slow] if desk.outbox.any_slow else []
    if slow:
        outlets = [outlet for outlet in outlets if not outlet.slow]
    return Way((reach._replace(outlets=outlets), *_shown(desk, group, channel, slow)), background, slow=slow)


def has_background(desk: Desk, of: Subscribers | None) -> bool:
    """Whether any of these sessions is in the background."""
    if of is None or not desk.ground.any:
        return False
    return any(of.on(outlet).intersect(desk.ground.on(outlet)) for outlet in of.outlets)


def subscribed(desk: Desk, group: Group, of: Subscribers | None) -> list[Reach]:
    """Sessions that subscribed to something, on the links that have any of them in the foreground."""
    if of is None:
        return []
    reach = subscribers(group, of, _with_foreground(desk, of, of.outlets))
    return [] if reach is None else [reach]


def _mode(desk: Desk, group: Group, channel: str) -> Mode | None:
    """Why a channel goes narrow; None: it goes wide."""
    if group.joined != "messages":
        return "usual"
    if desk.bursts and group.kind != "direct" and desk.bursts.narrow(group.key, channel, desk.now_ms):
        return "burst"
    return None


def _shown(desk: Desk, group: Group, channel: str, only: Sequence[Outlet] | None) -> list[Reach]:
    """The sessions that show a channel: visitors; and members, those on these links only."""
    reaches = subscribed(desk, group, group.subscribers("visitor", channel))
    if (of := group.subscribers("messages", channel)) is not None:
        outlets = _with_foreground(desk, of, of.outlets if only is None else only)
        if (reach := subscribers(group, of, outlets)) is not None:
            reaches.append(reach)
    return reaches


def _with_foreground(desk: Desk, of: Subscribers, outlets: Sequence[Outlet]) -> Sequence[Outlet]:
    if not desk.ground.any:
        return outlets
    return [outlet for outlet in outlets if not of.on(outlet).issubset(desk.ground.on(outlet))]
