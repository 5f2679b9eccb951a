"""Audiences to links: told before their first use there, and whoever entered or left them since."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import NamedTuple

from pyroaring import BitMap

from tables.audiences import Audience
from tables.groups import Group
from tables.outbox import Outlet
from tables.subscriptions import Subscribers
from topics.codec import encode
from topics.deliveries import AudienceDelta, AudienceSet


class Reach(NamedTuple):
    """Whom an entry is for.

    Attributes:
        audience: the audience; 0: every member who listens.
        version: its version.
        outlets: the links with anybody of it.
    """

    audience: int
    version: int
    outlets: Sequence[Outlet]

    def put(self, entry: bytes) -> int:
        """Put an encoded entry into each link's lot; returns how many they are."""
        for outlet in self.outlets:
            outlet.entries.append(entry)
        return len(self.outlets)


def listeners(group: Group, channel: str) -> Reach:
    """The members who see a channel and listen.

    Links that do not know the audience are told first. O(links).
    """
    if (audience := group.audience_of(channel)) is None:
        return Reach(0, 0, group.map.outlets)
    reached = audience.reach(group.map)
    for outlet in reached:
        if outlet not in audience.told:
            _introduce(group, audience, outlet)
    return Reach(audience.id, audience.version, reached)


def subscribers(group: Group, of: Subscribers | None, only: Sequence[Outlet] | None = None) -> Reach | None:
    """The sessions that subscribed to something, on all their links or on some; None where there are none."""
    if of is None or not of.outlets:
        return None
    outlets = of.outlets if only is None else tuple([outlet for outlet in only if of.on(outlet)])
    for outlet in outlets:
        if outlet not in of.told:
            group.subscriptions.tell(of, outlet, group.version)
            told = AudienceSet(group.app, group.group, of.id, group.version, as_text(BitMap(of.on(outlet))), "session")
            outlet.entries.append(encode(told))
    return Reach(of.id, of.version, outlets) if outlets else None


def tell_changes(group: Group) -> None:
    """Tell the links that know them what became of audiences."""
    if group.ruled:
        for outlet, audience, entered, left, ended in group.audiences.take_told(group.map, group.version):
            _tell(group, outlet, audience.id, entered, left, ended=ended)
    if group.asked:
        for outlet, of, entered, left, ended in group.subscriptions.take_told(group.version):
            _tell(group, outlet, of.id, entered, left, ended=ended)


def as_text(ordinals: BitMap) -> str:
    """Ordinals, or slots, as records hold them: a roaring bitmap in the portable format, base64; none is empty."""
    if not ordinals:
        return ""
    ordinals.run_optimize()
    return b64encode(ordinals.serialize()).decode()


def _tell(group: Group, outlet: Outlet, audience: int, entered: BitMap, left: BitMap, *, ended: bool) -> None:
    delta = AudienceDelta(group.app, group.group, audience, group.version, as_text(entered), as_text(left), ended=ended)
    outlet.entries.append(encode(delta))


def _introduce(group: Group, audience: Audience, outlet: Outlet) -> None:
    group.audiences.tell(audience, outlet, group.version)
    members = audience.among(group.map.ordinals(outlet))
    told = AudienceSet(group.app, group.group, audience.id, group.version, as_text(members))
    outlet.entries.append(encode(told))
