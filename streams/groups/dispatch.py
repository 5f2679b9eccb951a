"""Messages in, one entry a link out: check, number, answer, keep, deliver."""

from __future__ import annotations

from streams.groups.audiences import listeners
from streams.groups.desk import Desk, slot_of
from streams.groups.refusal import RefusalError
from tables.channels import Channel
from tables.groups import Group
from tables.permissions import may_in
from topics import limits
from topics.answers import Accepted, Code, Refused
from topics.codec import encode
from topics.deliveries import Head, SignalOut
from topics.messages import USUAL_KIND, Message, Send, Signal


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
            refused = Refused(
                refusal.code,
                app=send.app,
                group=send.group,
                client_id=send.client_id,
                limit=refusal.limit,
                slot=slot_of(send.reply),
            )
            desk.answer(send.reply, refused)
            desk.counts[f"refused:{refusal.code}"] += 1
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
    audience, version, outlets = listeners(group, signal.channel)
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
            audience,
            version,
        )
    )
    for outlet in outlets:
        outlet.entries.append(entry)
    desk.counts["signals"] += 1


def announce_heads(desk: Desk, now_ms: int) -> None:
    """Channels that went quiet: name their newest seq to every link once more."""
    for app, name, channel in desk.quiet.take(now_ms):
        group = desk.groups.touch(app, name)
        if not group.has_channel(channel):
            continue
        desk.settle(group)
        audience, version, outlets = listeners(group, channel)
        seq = group.numbers(channel).seq
        entry = encode(Head(app, name, channel, seq, group.version, group.map.version, audience, version))
        for outlet in outlets:
            outlet.entries.append(entry)


def _deliver(desk: Desk, group: Group, send: Send, channel: Channel) -> None:
    audience, version, outlets = listeners(group, send.channel) if group.ruled else (0, 0, group.map.outlets)
    seq = channel.seq
    message = encode(
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
            audience,
            version,
        )
    )
    for outlet in outlets:
        outlet.entries.append(message)
    desk.counts["messages"] += 1
    desk.counts["deliveries"] += len(outlets)
    desk.history.add(desk.partition, message)
    channel.keep(seq, message)
    group.sent(send.channel)
    desk.quiet.heard(group.key, send.channel, desk.now_ms)


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
    audience = group.audiences.of(channel)
    if audience is not None and not audience.holds(ordinal):
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
