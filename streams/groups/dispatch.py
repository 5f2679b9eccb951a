"""Messages in, one entry a link out: check, number, answer, keep, deliver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from streams.groups import unread
from streams.groups.audiences import Reach, listeners, subscribers
from streams.groups.desk import Desk
from streams.groups.refusal import RefusalError
from streams.groups.ways import Way, goes_to_all, subscribed, way_of
from tables.channels import Channel
from tables.groups import Group
from tables.permissions import may_in
from topics import limits
from topics.answers import Accepted, Code
from topics.codec import encode
from topics.deliveries import Head, SignalOut
from topics.messages import TYPING, USUAL_KIND, Message, Send, Signal
from topics.wire import slot_of

if TYPE_CHECKING:
    from tables.subscriptions import Kind


def send(desk: Desk, send: Send) -> None:
    """A message: refused with a code, known from before, or numbered and delivered once per link."""
    desk.check_address(send.reply)
    group = desk.groups.touch(send.app, send.group)
    channel = group.numbers(send.channel) if group.has_channel(send.channel) else None
    taken = channel.known(send, desk.now_ms) if channel is not None else None
    if taken is None:
        try:
            channel = _check(desk, group, send, channel)
            _check_new(desk, group, send, channel)
        except RefusalError as refusal:
            desk.refuse(send, refusal)
            return
        desk.settle(group)  # before it is numbered: the heads told to a new listener end below what it is pushed
        taken = channel.take(send, desk.now_ms)
        _deliver(desk, group, send, channel)
    else:
        desk.counts["again"] += 1
    accepted = Accepted(
        send.app, send.group, send.channel, send.client_id, taken.seq, taken.at, taken.again, slot_of(send.reply)
    )
    desk.answer(send.reply, accepted)


def signal(desk: Desk, signal: Signal) -> None:
    """Something for those online only; what may not be sent is dropped, as nobody waits for an answer."""
    if desk.overload.sheds_signals:
        desk.counts["signals_shed"] += 1
        return
    group = desk.groups.touch(signal.app, signal.group)
    try:
        _check(desk, group, signal, group.numbers(signal.channel) if group.has_channel(signal.channel) else None)
    except RefusalError:
        return
    desk.settle(group)
    for reach in _hearing(desk, group, signal):
        entry = encode(
            SignalOut(
                signal.app,
                signal.group,
                signal.channel,
                group.version,
                group.map.version,
                signal.sender,
                signal.body,
                signal.kind,
                reach.audience,
                reach.version,
            )
        )
        reach.put(entry)
    desk.counts["signals"] += 1


def _hearing(desk: Desk, group: Group, signal: Signal) -> Sequence[Reach]:
    """Who hears a signal: that somebody types, who asked for it; others, who gets messages as they are."""
    if signal.kind == TYPING:
        return subscribed(desk, group, group.subscribers("typing", signal.channel))
    return way_of(desk, group, signal.channel).reaches


def announce_heads(desk: Desk, now_ms: int) -> None:
    """Channels that went quiet: name their newest seq to every link once more."""
    for app, name, channel in desk.quiet.take(now_ms):
        group = desk.groups.touch(app, name)
        if not group.has_channel(channel):
            continue
        desk.settle(group)
        seq = group.numbers(channel).seq
        for reach in _concerned(group, channel):
            head = Head(app, name, channel, seq, group.version, group.map.version, reach.audience, reach.version)
            reach.put(encode(head))


def _concerned(group: Group, channel: str) -> list[Reach]:
    """Whom a channel's head is for: all who may have had messages of it, or notices of them unasked."""
    reaches = [] if group.joined == "none" else [listeners(group, channel)]
    kinds: tuple[Kind, ...] = ("messages", "visitor") if group.joined == "none" else ("visitor",)
    found = [subscribers(group, group.subscribers(kind, channel)) for kind in kinds]
    return reaches + [reach for reach in found if reach is not None]


def _deliver(desk: Desk, group: Group, send: Send, channel: Channel) -> None:
    if group.kind != "direct":
        desk.bursts.heard(group.key, send.channel, desk.now_ms, desk.policies.of(send.app).burst_per_s)
    if goes_to_all(desk, group):  # as a rule: it takes no more than this
        message = _put(desk, group, send, channel, Reach(0, 0, group.map.outlets))
    else:
        message = _deliver_by(desk, group, send, channel, way_of(desk, group, send.channel))
    desk.counts["messages"] += 1
    desk.history.add(desk.partition, message)
    channel.keep(channel.seq, message)
    if send.mentions:
        _mention(desk, group, send, message)
    group.sent(send.channel)
    desk.quiet.heard(group.key, send.channel, desk.now_ms)


def _deliver_by(desk: Desk, group: Group, send: Send, channel: Channel, way: Way) -> bytes:
    """To each audience of its way in a form that names it, to others as a notice; returns one of the forms."""
    forms = [_put(desk, group, send, channel, reach) for reach in way.reaches or _NOBODY]
    desk.counts["narrow"] += way.mode is not None
    unread.note(desk, group, send.channel, way)
    return forms[0]


_NOBODY: Final = (Reach(0, 0, ()),)


def _put(desk: Desk, group: Group, send: Send, channel: Channel, reach: Reach) -> bytes:
    """The message encoded, once in each link's lot."""
    encoded = _encoded(desk, group, send, channel, reach)
    desk.counts["deliveries"] += reach.put(encoded)
    return encoded


def _encoded(desk: Desk, group: Group, send: Send, channel: Channel, reach: Reach) -> bytes:
    seq = channel.seq
    return encode(
        Message(  # in the order of its fields: by their names it takes four times as long
            send.app,
            send.group,
            send.channel,
            seq,
            seq - 1,
            channel.counter,
            group.version,
            group.map.version,
            send.sender,
            send.device,
            send.client_id,
            desk.now_ms,
            send.body,
            USUAL_KIND if send.kind == USUAL_KIND else send.kind,
            reach.audience,
            reach.version,
            send.mentions,
        )
    )


def _mention(desk: Desk, group: Group, send: Send, message: bytes) -> None:
    """The sessions of those whom it mentions and who see it, wherever they are. O(mentions x links)."""
    ordinals = [group.members.ordinal_of(user) for user in dict.fromkeys(send.mentions)]
    seeing = [one for one in ordinals if one is not None and group.sees(one, send.channel)]
    for outlet in group.map.outlets:
        if slots := [slot for ordinal in seeing for slot in group.map.slots_of(outlet, ordinal)]:
            outlet.urgent.append(b'{"t":"mention","slots":%b,"m":%b}' % (encode(slots), message))
            desk.counts["mentions"] += len(slots)


def _check_new(desk: Desk, group: Group, send: Send, channel: Channel) -> None:
    """Refuse what is shed, and what must not be taken for new.

    Raises:
        RefusalError: overloaded, expired, throttled, clock_ahead.
    """
    if desk.overload.sheds_sends and group.kind != "direct" and send.reply is not None:
        raise RefusalError("overloaded")
    if (code := channel.refusal(send, desk.now_ms)) is not None:
        raise RefusalError(code, _LIMITS.get(code))


def _check(desk: Desk, group: Group, message: Send | Signal, channel: Channel | None) -> Channel:
    """Refuse what may not be sent; the channel, where it may.

    Raises:
        RefusalError: why.
    """
    if not group.alive:
        raise RefusalError("unknown_group")
    if channel is None:
        raise RefusalError("unknown_channel")
    if (ordinal := group.members.ordinal_of(message.sender)) is None:
        raise RefusalError("not_a_member")
    if group.ruled:
        _check_rules(group, ordinal, message.channel, desk.now_ms)
    if len(bytes(message.body)) > limits.BODY_BYTES:
        raise RefusalError("message_too_large", limits.BODY_BYTES)
    return channel


def _check_rules(group: Group, ordinal: int, channel: str, now_ms: int) -> None:
    """Refuse a sender that the group's channels, roles and mutes keep from sending."""
    if not group.sees(ordinal, channel):
        raise RefusalError("not_visible")
    if (until := _muted_until(group, ordinal, channel, now_ms)) > now_ms:
        raise RefusalError("muted", until)
    if not may_in(group, ordinal, channel, "send"):
        raise RefusalError("not_permitted")


def _muted_until(group: Group, ordinal: int, channel: str, now_ms: int) -> int:
    """Up to when the member may not send there; the past for who may. Who may mute may speak where all are muted."""
    own = group.mutes.until(ordinal)
    info = group.structure.channels.get(channel)
    common = max(group.muted_until, info.muted_until if info is not None else 0)
    if common > max(own, now_ms) and not may_in(group, ordinal, channel, "mute"):
        return common
    return own


_LIMITS: dict[Code, int] = {
    "expired": limits.DEDUPE_WINDOW_MS,
    "throttled": limits.DEDUPE_PER_DEVICE,
    "clock_ahead": limits.CLOCK_SKEW_MS,
}
