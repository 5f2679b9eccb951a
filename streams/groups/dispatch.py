"""Messages in, one entry a link out: check, number, answer, keep, deliver."""

from __future__ import annotations

from streams.groups.desk import Desk, slot_of
from tables.groups import Group
from topics import limits
from topics.answers import Accepted, Code, Refused
from topics.codec import encode
from topics.deliveries import Head, SignalOut
from topics.messages import USUAL_KIND, Message, Send, Signal


def send(desk: Desk, send: Send) -> None:
    """A message: refused with a code, known from before, or numbered and delivered once per link."""
    desk.check_address(send.reply)
    group = desk.groups.touch(send.app, send.group)
    channel = group.channel
    taken = channel.known(send, desk.now_ms) if send.channel == channel.name else None
    if taken is None:
        code = _shed(desk, group, send) or _refusal(group, send) or channel.refusal(send, desk.now_ms)
        if code is not None:
            refused = Refused(
                code,
                app=send.app,
                group=send.group,
                client_id=send.client_id,
                limit=_LIMITS.get(code),
                slot=slot_of(send.reply),
            )
            desk.answer(send.reply, refused)
            desk.counts[f"refused:{code}"] += 1
            return
        desk.settle(group)  # before it is numbered: the heads told to a new listener end below what it is pushed
        taken = channel.take(send, desk.now_ms)
        _deliver(desk, group, send, taken.seq)
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
    if _refusal(group, signal) is not None:
        return
    desk.settle(group)
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
        )
    )
    for outlet in group.map.outlets:
        outlet.entries.append(entry)
    desk.counts["signals"] += 1


def announce_heads(desk: Desk, now_ms: int) -> None:
    """Channels that went quiet: name their newest seq to every link once more."""
    for key in desk.quiet.take(now_ms):
        app, _, name = key.decode().partition(":")
        group = desk.groups.touch(app, name)
        desk.settle(group)
        channel = group.channel
        entry = encode(Head(app, name, channel.name, channel.seq, group.version, group.map.version))
        for outlet in group.map.outlets:
            outlet.entries.append(entry)


def _deliver(desk: Desk, group: Group, send: Send, seq: int) -> None:
    channel = group.channel
    message = encode(
        Message(
            app=send.app,
            group=send.group,
            channel=send.channel,
            seq=seq,
            prev=seq - 1,
            counter=channel.counter,
            version=group.version,
            map=group.map.version,
            sender=send.sender,
            device=send.device,
            client_id=send.client_id,
            at=desk.now_ms,
            body=send.body,
            kind=USUAL_KIND if send.kind == USUAL_KIND else send.kind,
        )
    )
    for outlet in group.map.outlets:
        outlet.entries.append(message)
    desk.counts["messages"] += 1
    desk.counts["deliveries"] += len(group.map.outlets)
    desk.history.add(desk.partition, message)
    channel.keep(seq, message)
    group.sent()
    desk.quiet.heard(group.key, desk.now_ms)


def _shed(desk: Desk, group: Group, send: Send) -> Code | None:
    return "overloaded" if desk.overload.sheds_sends and group.kind != "direct" and send.reply is not None else None


def _refusal(group: Group, message: Send | Signal) -> Code | None:
    if not group.alive:
        return "unknown_group"
    if message.channel != group.channel.name:
        return "unknown_channel"
    if group.members.ordinal_of(message.sender) is None:
        return "not_a_member"
    if len(bytes(message.body)) > limits.BODY_BYTES:
        return "message_too_large"
    return None


_LIMITS: dict[Code, int] = {
    "message_too_large": limits.BODY_BYTES,
    "expired": limits.DEDUPE_WINDOW_MS,
    "throttled": limits.DEDUPE_PER_DEVICE,
    "clock_ahead": limits.CLOCK_SKEW_MS,
}
