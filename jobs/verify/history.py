"""What history holds, and whether each channel in it is one chain."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.verify.findings import Findings
from jobs.verify.members import Group, Groups
from jobs.verify.world import Row, World, place
from topics import catalog
from topics.codec import Malformed
from topics.messages import HistoryLot, Message, Send

ChannelKey = tuple[str, str, str]
#: (app, group, channel, sender, device, client_id): one send, however often it is tried.
SendKey = tuple[str, str, str, str, str, str]


def send_key(message: Send | Message) -> SendKey:
    """Which send this is."""
    return message.app, message.group, message.channel, message.sender, message.device, message.client_id


@dataclass(slots=True, eq=False)
class Channel:
    """One channel: seq -> number of the message in history; and its newest message."""

    group: Group
    by_seq: dict[int, int] = field(default_factory=dict)
    newest: Message | None = None


class History:
    """Every message that was accepted, numbered in the order of the topic.

    Attributes:
        messages: the messages.
        at_ms: when the lot of each was appended.
        where: (partition, offset) of the lot of each.
        channels: by (app, group, channel).
        by_send: which messages came of a send; more than one only if something is wrong, or the group lived twice.
        of_group: the messages of a group.
    """

    def __init__(self, world: World, groups: Groups, findings: Findings) -> None:
        self.messages: list[Message] = []
        self.at_ms: list[int] = []
        self.where: list[tuple[int, int]] = []
        self.channels: dict[ChannelKey, Channel] = {}
        self.by_send: dict[SendKey, list[int]] = {}
        self.of_group: dict[tuple[str, str], list[int]] = {}
        self._groups = groups
        self._findings = findings
        for row, lot in world.rows(catalog.HISTORY):
            if isinstance(lot, Malformed):
                findings.add("unreadable", place(catalog.HISTORY, row))
            else:
                self._add_lot(row, lot)

    def _add_lot(self, row: Row, lot: HistoryLot) -> None:
        for message in lot.entries:
            key = message.app, message.group, message.channel
            if (channel := self.channels.get(key)) is None:
                channel = self.channels[key] = Channel(self._groups.get(message.app, message.group))
            if not lot.source == row.partition == channel.group.partition:
                self._findings.add("misplaced", f"{place(catalog.HISTORY, row)} {key}")
            self._check(row, channel, message)
            number = len(self.messages)
            if channel.by_seq.setdefault(message.seq, number) != number:
                continue
            self.messages.append(message)
            self.at_ms.append(row.at_ms)
            self.where.append((row.partition, row.offset))
            self.by_send.setdefault(send_key(message), []).append(number)
            self.of_group.setdefault(channel.group.key, []).append(number)

    def _check(self, row: Row, channel: Channel, message: Message) -> None:
        add, where = self._findings.add, f"{place(catalog.HISTORY, row)} {channel.group} seq {message.seq}"
        before = channel.newest
        seq = before.seq if before else 0
        if message.seq in channel.by_seq:
            add("seq_twice", where)
            return
        if message.seq > seq + 1:
            add("seq_hole", f"{where} after {seq}", message.seq - seq - 1)
        elif message.seq <= seq:
            add("seq_order", f"{where} after {seq}")
        if message.prev != message.seq - 1:
            add("prev_broken", f"{where}, prev {message.prev}")
        if before is not None and message.counter <= before.counter:
            add("counter_order", f"{where}: {message.counter} after {before.counter}")
        if before is not None and (message.version < before.version or message.map < before.map):
            add("version_order", where)
        if (rule := _against(channel.group, message)) is not None:
            add(rule, f"{where}: {message.sender} at version {message.version}")
        channel.newest = message


def _against(group: Group, message: Message) -> str | None:
    """The rule by which this message should have been refused at its version, if there is one."""
    sender, name, version, relations = message.sender, message.channel, message.version, group.relations
    if not group.is_member(sender, version):
        return "sender_no_member"
    if not relations.sees(sender, name, version):
        return "sender_blind"
    if not relations.may(sender, "send", name, version):
        return "sender_not_permitted"
    if relations.muted(sender, name, version, message.at):
        return "sender_muted"
    return None
