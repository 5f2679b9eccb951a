"""Subscriptions in and out: a session asks to hear something, or to hear it no more; who loses sight loses them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from streams.groups.refusal import RefusalError
from tables.audiences import Flip
from tables.groups import Group
from tables.subscriptions import Ended, Topic, topic_of
from tables.visibility import visitor_sees
from topics.bindings import Grounded, Listen, Unlisten
from topics.codec import encode
from topics.deliveries import Background, Subscribed, Turned
from topics.events import Banned, ChannelDeleted, RelationEvent
from topics.memberships import Barred, Unheard
from topics.subscriptions import VISITOR_LEVELS, Wanted

if TYPE_CHECKING:
    from streams.groups.desk import Desk
    from tables.outbox import Outlet


def listen(desk: Desk, group: Group, ask: Listen) -> None:
    """A session asks to hear something: what it may is in force from here on, what not is refused with a code."""
    if (outlet := desk.outbox.outlet(ask.link, ask.epoch, ask.partition)) is None:
        return
    desk.mark_rows()
    desk.settle(group)  # so that what it asked for before is known where it is
    ordinal = group.members.ordinal_of(ask.user) if group.alive else None
    refused: list[Turned] = []
    for wanted in ask.wanted:
        try:
            _check(group, wanted, ordinal, outlet, ask, desk.now_ms)
        except RefusalError as refusal:
            refused.append(Turned(refusal.code, wanted.level, wanted.channel))
            desk.counts[f"refused:{refusal.code}"] += 1
            continue
        desk.counts[f"subscribed:{wanted.level}"] += 1
        group.subscriptions.add(topic_of(wanted, visitor=ordinal is None), outlet, ask.slot, ordinal)
    if refused:
        ended = [Wanted(one.level, one.channel) for one in refused]
        desk.tell_user(ask.app, ask.user, Unheard(ask.app, ask.group, ask.user, ask.link, ask.epoch, ask.slot, ended))
    if not ask.resumed:
        _answer(group, outlet, ask.slot, refused, ask.request)


def unlisten(desk: Desk, group: Group, ask: Unlisten) -> None:
    """A session wants to hear something no more; a visitor's ended, or went."""
    if (outlet := desk.outbox.find(ask.link, ask.epoch)) is None:
        return
    for topic in group.subscriptions.held(outlet, ask.slot) if group.asked else ():
        if not ask.wanted or topic.wanted in ask.wanted:
            group.subscriptions.drop(topic, outlet, ask.slot)
    if ask.request is not None:
        _answer(group, outlet, ask.slot, [], ask.request)


def ground(desk: Desk, grounded: Grounded) -> None:
    """A session went to the background or came from there: its link hears it before what follows from it."""
    outlet = desk.outbox.outlet(grounded.link, grounded.epoch, grounded.partition)
    if outlet is None or not desk.ground.put(outlet, grounded.slot, background=grounded.background):
        return
    desk.mark_rows()
    desk.counts["grounded"] += 1
    if not grounded.ended:
        outlet.entries.append(encode(Background([grounded.slot], grounded.background)))


def of_event(desk: Desk, group: Group, event: RelationEvent, flips: Iterable[Flip]) -> None:
    """The group changed: who does not see a channel any more subscribes to nothing of it."""
    if not group.asked:
        return
    for flip in flips:
        if flip.left:
            _tell_users(desk, group, list(group.subscriptions.lose_sight(flip.channels, flip.left)))
    if isinstance(event, ChannelDeleted):
        group.subscriptions.close([event.channel])
    if isinstance(event, Banned):
        _bar(desk, group, event.users)
    hidden = [channel for channel in group.subscriptions.visited() if not _visitors_see(group, channel)]
    group.subscriptions.close(hidden, visitors_only=True)  # nobody is told: a resume that asks again is refused


def counts(group: Group) -> Counter[Topic]:
    """How many sessions subscribed to what."""
    if not group.asked:
        return Counter()
    return Counter({of.topic: len(of) for of in group.subscriptions.all() if of.outlets})


def _check(group: Group, wanted: Wanted, ordinal: int | None, outlet: Outlet, ask: Listen, now_ms: int) -> None:
    """Refuse what a session may not subscribe to.

    Raises:
        RefusalError: why.
    """
    if not group.alive:
        raise RefusalError("unknown_group")
    if (wanted.level == "server") is (wanted.channel is not None):
        raise RefusalError("wrong_level")
    if wanted.channel is not None and not group.has_channel(wanted.channel):
        raise RefusalError("unknown_channel")
    if ordinal is None:
        _check_visitor(group, wanted, ask.user, now_ms)
        return
    if not group.map.holds(ordinal, outlet, ask.slot):
        raise RefusalError("unknown_session")
    if wanted.channel is not None and not group.sees(ordinal, wanted.channel):
        raise RefusalError("not_visible")


def _check_visitor(group: Group, wanted: Wanted, user: str, now_ms: int) -> None:
    """Refuse what one who is no member may not subscribe to.

    Raises:
        RefusalError: why.
    """
    if group.kind != "server":
        raise RefusalError("not_a_member")
    if wanted.level not in VISITOR_LEVELS:
        raise RefusalError("wrong_level")
    if not _visitors_see(group, wanted.channel or "") or group.bans.banned(user, now_ms):
        raise RefusalError("not_visible")


def _visitors_see(group: Group, channel: str) -> bool:
    """Whether who is no member sees a channel; empty: any channel."""
    structure = group.structure
    if not channel:
        return any(_visitors_see(group, one) for one in structure.channels)
    if (info := structure.channels.get(channel)) is None:
        return False
    return visitor_sees(info.visitor_mode, structure.view_mode(structure.place_of(channel)))


def _answer(group: Group, outlet: Outlet, slot: int, refused: list[Turned], request: str | None) -> None:
    topics = group.subscriptions.held(outlet, slot) if group.asked else []
    heads = [
        (topic.channel, group.numbers(topic.channel).seq) for topic in topics if topic.kind in {"messages", "visitor"}
    ]
    answer = Subscribed(group.app, group.group, slot, [topic.wanted for topic in topics], refused, heads, request)
    outlet.urgent.append(encode(answer))


def _bar(desk: Desk, group: Group, users: Iterable[str]) -> None:
    """Users are kept out: who of them visits is known to their owners alone."""
    if group.subscriptions.visited():
        for user in users:
            if group.members.ordinal_of(user) is None:
                desk.tell_user(group.app, user, Barred(group.app, group.group, user))


def _tell_users(desk: Desk, group: Group, ended: list[Ended]) -> None:
    """Tell the users' owners what ended, if it was heard by few enough."""
    if sum([len(one.ordinals) for one in ended]) > desk.policies.of(group.app).notice_users:
        return
    for topic, outlet, ordinals, slots in ended:
        address = outlet.address
        for ordinal in ordinals:
            (user,) = group.members.users_at([ordinal])
            for slot in group.map.slots_of(outlet, ordinal):
                if slot in slots:
                    told = Unheard(group.app, group.group, user, address.link, address.epoch, slot, [topic.wanted])
                    desk.tell_user(group.app, user, told)
