"""What a group's owner tells of it: to its members, and to its app's gateways and admins."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import ClassVar

import msgspec

from streams.groups.core import GroupsCore
from streams.web.answers import (
    ChannelHead,
    GroupAnswer,
    LinkChange,
    LinkCount,
    LinkMapAnswer,
    LinkSessionsAnswer,
    Listener,
)
from streams.web.asks import OfGroup
from streams.web.cursors import cursor_for
from streams.web.pages import Window
from streams.web.problems import ProblemError
from streams.web.seats import seat_of
from streams.web.tokens import Claims
from tables.groups import Group
from tables.maplog import Step
from topics import limits
from topics.wire import U32, Count, Id, LinkAddress


class GroupAsk(OfGroup, frozen=True, tag="group"):
    """What is the group?"""

    def answer(self, core: GroupsCore, asker: Claims) -> GroupAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        group = seat.group
        return GroupAnswer(
            group.app,
            group.group,
            group.kind,
            group.version,
            len(group.members),
            group.map.version,
            len(group.map.outlets),
            [ChannelHead(name, group.numbers(name).seq, _first(group, name)) for name in group.common_channels()],
            group.profile,
            seat.state,
            _name_of(group, group.owner),
            group.muted_until,
        )


class LinkMapAsk(OfGroup, frozen=True, tag="link_map"):
    """On which links do sessions listen, and what changed since this version, or this time?"""

    shared: ClassVar[bool] = True

    since: Count | None = None
    changed_since_ms: Count | None = None

    def answer(self, core: GroupsCore, asker: Claims) -> LinkMapAnswer:
        """See `Ask`."""
        group = seat_of(core, self, asker).group
        links = [
            LinkCount(address.link, address.epoch, address.partition, sessions)
            for address, sessions in group.map.listening()
        ]
        log, version = core.desk.groups.map_log, group.map.version
        steps = None
        if self.since is not None:
            steps = log.since(group.key, self.since, version)
        elif self.changed_since_ms is not None:
            steps = log.since_ms(group.key, self.changed_since_ms, version)
        return LinkMapAnswer(version, log.now_ms, links, None if steps is None else _changes(steps))


class LinkSessionsAsk(OfGroup, frozen=True, tag="link_sessions"):
    """Who listens on this link, from this ordinal on?"""

    link: Id
    start: U32
    limit: int

    def answer(self, core: GroupsCore, asker: Claims) -> LinkSessionsAnswer:
        """See `Ask`."""
        group = seat_of(core, self, asker).group
        addresses = [outlet.address for outlet in group.map.outlets if outlet.address.link == self.link]
        if not addresses:
            raise ProblemError("unknown_link")
        address = max(addresses, key=lambda one: one.epoch)
        pages = range(self.start // limits.PAGE_ORDINALS, -(-group.members.next // limits.PAGE_ORDINALS))
        found: list[Listener] = []
        for page in pages[: limits.VIEW_PAGES]:
            found += [one for one in _listeners(group, address, page) if one.ordinal >= self.start]
            if len(found) > self.limit:
                break
        next_ = _next(found, self.limit, pages)
        cursor = None if next_ is None else cursor_for(sessions_list(self.app, self.group, self.link), next_)
        return LinkSessionsAnswer(group.map.version, address.link, address.epoch, found[: self.limit], cursor)


class RecentAnswer(msgspec.Struct, frozen=True):
    """A channel's head, its floor, and what of the window is in memory, by seq."""

    head: int
    messages: list[tuple[int, msgspec.Raw]]
    floor: int = 0


class RecentAsk(OfGroup, frozen=True, tag="recent"):
    """How far does the channel go, and what of the window is in memory?"""

    channel: Id
    window: Window

    def answer(self, core: GroupsCore, asker: Claims) -> RecentAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        if not seat.sees(self.channel):
            raise ProblemError("unknown_group")
        group = seat.group
        channel = group.numbers(self.channel)
        span = self.window.span(channel.seq, channel.floor)
        recent = [(seq, msgspec.Raw(encoded)) for seq, encoded in channel.recent if seq in span]
        return RecentAnswer(channel.seq, recent, channel.floor)


def sessions_list(app: str, group: str, link: str) -> str:
    """Names the list of a group's sessions on a link."""
    return f"sessions {app} {group} {link}"


def _name_of(group: Group, ordinal: int | None) -> str | None:
    """The user under an ordinal."""
    if ordinal is None:
        return None
    return next((user for at, user in group.members.users_from(ordinal, 1) if at == ordinal), None)


def _first(group: Group, channel_id: str) -> int:
    channel = group.numbers(channel_id)
    return channel.floor + 1 if channel.seq > channel.floor else 0


def _next(found: list[Listener], limit: int, pages: range) -> int | None:
    """The ordinal at which the next page begins; None if this is the last one."""
    if len(found) > limit:
        return found[limit].ordinal
    return pages[limits.VIEW_PAGES] * limits.PAGE_ORDINALS if len(pages) > limits.VIEW_PAGES else None


def _listeners(group: Group, address: LinkAddress, page: int) -> Iterator[Listener]:
    pairs = sorted(group.map.on_page(address, page))
    users = dict(group.members.on_page(page)) if pairs else {}
    for ordinal, of_one in groupby(pairs, key=lambda pair: pair[0]):
        yield Listener(ordinal, users[ordinal], [slot for _, slot in of_one])


def _changes(steps: list[Step]) -> list[LinkChange]:
    """What the steps come to, link by link."""
    summed: dict[LinkAddress, dict[tuple[int, int], bool]] = {}
    ended: set[LinkAddress] = set()
    for step in steps:
        for outlet, change in step.changes.items():
            if change is None:
                ended.add(outlet.address)
                continue
            pairs = summed.setdefault(outlet.address, {})
            bound, unbound = change.parted()
            pairs.update(dict.fromkeys(unbound, False))
            pairs.update(dict.fromkeys(bound, True))
    found = [LinkChange(address.link, address.epoch, ended=True) for address in sorted(ended, key=_order)]
    for address in sorted(summed.keys() - ended, key=_order):
        pairs = summed[address]
        bound = [pair for pair, began in pairs.items() if began]
        unbound = [pair for pair, began in pairs.items() if not began]
        found.append(LinkChange(address.link, address.epoch, bound=bound, unbound=unbound))
    return found


def _order(address: LinkAddress) -> tuple[str, int]:
    return address.link, address.epoch
