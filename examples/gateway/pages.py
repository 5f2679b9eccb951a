"""What the link tells, handed to the pages that it is for: one frame, made once, for all of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from examples.gateway.connection import ENDED, VOID, Connection
from linkcast_gateway import (
    UNSAID,
    Answer,
    Changed,
    GatewayError,
    Group,
    Handler,
    Head,
    Message,
    Notice,
    Presence,
    Registration,
    Signal,
    Subscribed,
    Unread,
)

log = logging.getLogger(__name__)

json_of: Final = msgspec.json.Encoder().encode


class Pages(Handler):
    """The connections of one gateway, by their slots."""

    def __init__(self) -> None:
        self._connections: dict[int, Connection] = {}
        self._written = self._resyncs = 0

    def on_registered(self, registration: Registration) -> None:
        """The next `hello` is served."""
        log.info("open: epoch %s", registration.epoch)

    def on_void(self) -> None:
        """Every session died with the registration: the pages come back by themselves."""
        self._close_all(VOID, b"the link's registration ended")

    def on_failed(self, error: GatewayError) -> None:
        """The link has given up: whoever runs this must act, and `/health` says so."""
        log.critical("this gateway takes nothing any more: %s", error)

    def on_live(self, group: Group, slots: Sequence[int], heads: Sequence[tuple[str, int]]) -> None:
        """Tell the pages that they hear the group now, and how far it is."""
        frame = json_of({"t": "live", "group": group.name, "heads": dict(heads)})
        for connection in self._of(slots):
            connection.groups.add(group.name)
            connection.push(frame)
            if connection.watching == group.name:
                self._watching(connection, group.name)

    def on_gone(self, group: Group, slots: Sequence[int]) -> None:
        """Tell the pages that they left the group."""
        frame = json_of({"t": "gone", "group": group.name})
        for connection in self._of(slots):
            connection.groups.discard(group.name)
            connection.push(frame)

    def on_forgotten(self, source: int, bindings: Mapping[Group, Sequence[int]]) -> None:
        """Tell the pages that they may be missing something until `live` comes again."""
        del source
        self._resyncs += 1
        for group, slots in bindings.items():
            frame = json_of({"t": "waiting", "group": group.name})
            for connection in self._of(slots):
                connection.groups.discard(group.name)
                connection.push(frame)

    def on_drive(self, group: Group, joined: str, slots: Sequence[int]) -> None:
        """Pages subscribe to what they show where they do not hear it unasked."""
        frame = json_of({"t": "drive", "group": group.name, "joined": joined})
        for connection in self._of(slots):
            if connection.driven.get(group.name, "messages") != joined:
                connection.driven[group.name] = joined
                connection.push(frame)

    def on_ground(self, slots: Sequence[int], *, background: bool) -> None:
        """A page that comes back pulls what it shows."""
        self._push(json_of({"t": "ground", "background": background}), slots)

    def on_unread(self, group: Group, unread: Unread, slots: Sequence[int]) -> None:
        """There is something new: badges, and a pull where it is shown."""
        told = {"seq": unread.seq, "count": unread.count, "level": unread.level, "mode": unread.mode}
        self._push(json_of({"t": "unread", "group": group.name, "channel": unread.channel, **told}), slots)

    def on_mention(self, message: Message, slots: Sequence[int]) -> None:
        """Somebody names this person."""
        self._push(json_of({"t": "mention", "message": page(message)}), slots)

    def on_subscribed(self, slot: int, subscribed: Subscribed) -> None:
        """What the page hears because it asked for it."""
        told = {"wanted": subscribed.wanted, "refused": subscribed.refused, "heads": dict(subscribed.heads)}
        self._push(json_of({"t": "subscribed", "group": subscribed.group, **told}), (slot,))

    def on_ended(self, slot: int, why: str) -> None:
        """Another session of this person took its place; or the pipeline does not know it, and the page comes again."""
        if (connection := self._connections.pop(slot, None)) is not None:
            connection.close(VOID if why == UNSAID else ENDED, why.encode())

    def on_presence(self, app: str, users: Sequence[Presence], slots: Sequence[int]) -> None:
        """Who is online, of those whom the pages follow."""
        del app
        self._push(json_of({"t": "presence", "users": users}), slots)

    def on_message(self, group: Group, message: Message, slots: Sequence[int]) -> None:
        """One frame, made once, to each page."""
        del group
        self._written += self._push(json_of(page(message)), slots)

    def on_signal(self, group: Group, signal: Signal, slots: Sequence[int]) -> None:
        """One frame, made once, to each page."""
        where = {"t": "signal", "group": group.name, "channel": signal.channel}
        self._push(json_of({**where, "sender": signal.sender, "kind": signal.kind, "body": signal.body}), slots)

    def on_head(self, group: Group, head: Head, slots: Sequence[int]) -> None:
        """Whoever lacks the newest message learns of it now."""
        self._push(json_of({"t": "head", "group": group.name, "channel": head.channel, "seq": head.seq}), slots)

    def on_changed(self, group: Group, changed: Changed, slots: Sequence[int]) -> None:
        """Pages that show a server ask anew what it is."""
        told = {"version": changed.version, "since": changed.since, "what": changed.what, "channels": changed.channels}
        self._push(json_of({"t": "changed", "group": group.name, **told}), slots)

    def on_notice(self, app: str, user: str, notice: Notice, slots: Sequence[int]) -> None:
        """A notice to a person, to each of their pages."""
        del app, user
        self._push(json_of({"t": "notice", "notice": notice}), slots)

    def on_answer(self, slot: int, answer: Answer) -> None:
        """An answer to the page that asked."""
        self._push(json_of(answer), (slot,))

    def _of(self, slots: Sequence[int]) -> list[Connection]:
        """The connections of these slots; those that are closed already have none."""
        found = self._connections
        return [found[slot] for slot in slots if slot in found]

    def _push(self, frame: bytes, slots: Sequence[int]) -> int:
        """Send a frame to each; tells to how many."""
        connections = self._of(slots)
        for connection in connections:
            connection.push(frame)
        return len(connections)

    def _close_all(self, code: int, why: bytes) -> None:
        for connection in self._connections.values():
            connection.close(code, why)
        self._connections = {}

    def _watching(self, connection: Connection, group: str) -> None:
        """A page looks at a group that it hears from now on."""


def page(message: Message) -> dict[str, Any]:
    """A message as pages get it, pushed or pulled."""
    return {
        "t": "message",
        "group": message.group,
        "channel": message.channel,
        "seq": message.seq,
        "prev": message.prev,
        "at": message.at,
        "sender": message.sender,
        "device": message.device,
        "client_id": message.client_id,
        "kind": message.kind,
        "body": message.body,
        "mentions": message.mentions,
    }
