"""A run written by hand, record by record, as the contract has it: nothing of the pipeline is in it."""

from __future__ import annotations

from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Raw
from pyroaring import BitMap

from tests.small_world import APP, SmallWorld
from topics import catalog
from topics.codec import encode
from topics.deliveries import AudienceSet, Bound, DeliveryLot, SessionLot, Subscribed, Unbound, Unread
from topics.entities import Channel, GroupKind
from topics.events import ChannelCreated, GroupCreated
from topics.keys import key_of
from topics.messages import MAIN, HistoryLot, Message, Send
from topics.policy import Policy, PolicySet
from topics.relations import CreateChannel, CreateGroup
from topics.sessions import SessionRecord, Up
from topics.subscriptions import Joined, Level, Wanted
from topics.wire import LinkAddress


def bits(places: Iterable[int]) -> str:
    """A bitmap as records hold it."""
    return b64encode(BitMap(places).serialize()).decode()


class Stage(SmallWorld):
    """One partition; whatever the workers would do is told to it."""

    def __init__(self) -> None:
        super().__init__(partitions=1)
        self._numbers: dict[tuple[str, int], int] = defaultdict(int)
        self._seqs: dict[tuple[str, str], int] = defaultdict(int)
        self._counter = 0
        self.maps: dict[str, int] = defaultdict(int)
        self.versions: dict[str, int] = {}

    def policy(self, **given: Any) -> None:
        """The app's policy is this from here on."""
        self.append(catalog.POLICIES, 0, encode(PolicySet(APP, Policy(**given))), APP.encode())

    def group(self, name: str, kind: GroupKind, users: Sequence[str], *channels: Channel) -> None:
        """A group comes to be."""
        self.of_group(catalog.RELATIONS, CreateGroup(APP, name, kind=kind, members=list(users)))
        created = GroupCreated(
            APP, name, version=1, at=self.now_ms, kind=kind, users=list(users), ordinals=list(range(len(users)))
        )
        self.append(catalog.RELATION_EVENTS, 0, encode(created), key_of(APP, name))
        self.versions[name] = 1
        for channel in channels:
            self.of_group(
                catalog.RELATIONS, CreateChannel(APP, name, channel.channel, visitor_mode=channel.visitor_mode)
            )
            self.versions[name] += 1
            event = ChannelCreated(APP, name, version=self.versions[name], at=self.now_ms, channel=channel)
            self.append(catalog.RELATION_EVENTS, 0, encode(event), key_of(APP, name))

    def begin(self, user: str, link: LinkAddress, slot: int, **given: Any) -> None:
        """A session begins."""
        self.asks(Up(APP, user, f"device-{slot}", link.link, link.epoch, link.partition, slot, **given))

    def asks(self, record: SessionRecord) -> None:
        """A record of `sessions`."""
        self.append(catalog.SESSIONS, 0, encode(record), key_of(APP, record.user))

    def lot(self, link: LinkAddress, *entries: Any, **flags: Any) -> None:
        """The next lot for a link."""
        self._numbers[link.link, link.epoch] += 1
        number = self._numbers[link.link, link.epoch]
        lot = DeliveryLot(link.link, link.epoch, 0, number, list(entries), **flags)
        self.append(catalog.DELIVERIES, link.partition, encode(lot))

    def tell(self, link: LinkAddress, *entries: Any) -> None:
        """What a users partition has for sessions of a link."""
        self.append(catalog.DELIVERIES, link.partition, encode(SessionLot(link.link, link.epoch, list(entries))))

    def bound(
        self, group: str, pairs: dict[int, int], joined: Joined = "messages", audiences: Sequence[Sequence[int]] = ()
    ) -> Bound:
        """Slots listen from here on: slot -> ordinal."""
        self.maps[group] += 1
        told = [list(one) for one in audiences]
        return Bound(APP, group, self.maps[group], list(pairs.values()), list(pairs), [], told, joined)

    def unbound(self, group: str, pairs: dict[int, int]) -> Unbound:
        """Slots listen no more."""
        self.maps[group] += 1
        return Unbound(APP, group, self.maps[group], list(pairs.values()), list(pairs))

    def asked(self, group: str, slot: int, *wanted: tuple[Level, str | None], **more: Any) -> Subscribed:
        """What a session hears because it asked for it."""
        return Subscribed(APP, group, slot, [Wanted(*one) for one in wanted], **more)

    def sessions_in(self, group: str, audience: int, *slots: int) -> AudienceSet:
        """An audience of sessions."""
        return AudienceSet(APP, group, audience, self.versions[group], bits(slots), "session")

    def says(self, group: str, sender: str, channel: str = MAIN, mentions: Sequence[str] = ()) -> Message:
        """A message is sent and accepted."""
        self._counter += 1
        self._seqs[group, channel] += 1
        seq, client_id, body = self._seqs[group, channel], f"c{self._counter}", Raw(b'"hi"')
        sent_ms = self.now_ms + 1
        send = Send(APP, group, sender, "phone", client_id, sent_ms, body, channel, mentions=tuple(mentions))
        self.of_group(catalog.MESSAGES, send)
        message = Message(
            APP, group, channel, seq, seq - 1, self._counter, self.versions[group], self.maps[group], sender, "phone",
            client_id, self.now_ms, body, mentions=tuple(mentions),
        )  # fmt: skip
        self.append(catalog.HISTORY, 0, encode(HistoryLot(0, [message])))
        return message

    def unread(self, message: Message, audience: int = 0, count: int = 1, **more: Any) -> Unread:
        """A notice up to a message."""
        version = self.versions[message.group] if audience else 0
        told = (message.version, message.map, audience, version)
        return Unread(APP, message.group, message.channel, message.seq, count, *told, **more)
