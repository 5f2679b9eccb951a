"""Audiences to links: told before their first use there, and whoever entered or left them since."""

from __future__ import annotations

from base64 import b64encode

from pyroaring import BitMap

from tables.audiences import Audience
from tables.groups import Group
from tables.outbox import Outlet
from topics.codec import encode
from topics.deliveries import AudienceDelta, AudienceSet


def listeners(group: Group, channel: str) -> tuple[int, int, tuple[Outlet, ...]]:
    """Whom an entry of a channel is for: the audience, its version, and the links with a listener who is in it.

    Links that do not know the audience are told first. O(links).
    """
    audience = group.audiences.of(channel) if group.ruled else None
    if audience is None:
        return 0, 0, group.map.outlets
    reached = audience.reach(group.map)
    for outlet in reached:
        if outlet not in audience.told:
            _introduce(group, audience, outlet)
    return audience.id, audience.version, reached


def tell_changes(group: Group) -> None:
    """Tell the links that know them what became of audiences."""
    for outlet, audience, entered, left, ended in group.audiences.take_told(group.map, group.version):
        delta = AudienceDelta(
            group.app, group.group, audience.id, group.version, as_text(entered), as_text(left), ended=ended
        )
        outlet.entries.append(encode(delta))


def as_text(ordinals: BitMap) -> str:
    """A set of ordinals as records hold it: a roaring bitmap in the portable format, base64; none is empty."""
    if not ordinals:
        return ""
    ordinals.run_optimize()
    return b64encode(ordinals.serialize()).decode()


def _introduce(group: Group, audience: Audience, outlet: Outlet) -> None:
    group.audiences.tell(audience, outlet, group.version)
    members = audience.among(group.map.ordinals(outlet))
    told = AudienceSet(group.app, group.group, audience.id, group.version, as_text(members))
    outlet.entries.append(encode(told))
