"""What a session asks to hear, what it hears in place of messages, and what goes ahead."""

from __future__ import annotations

from typing import Any, Final

from jobs.conformance import protocol
from jobs.conformance.case import case
from jobs.conformance.cases.audiences import read_on
from jobs.conformance.cases.deliveries import asks, not_asked
from jobs.conformance.scene import Client, Scene, Wrong
from topics import limits
from topics.messages import MAIN
from topics.subscriptions import Subscription


@case(
    "subscribe",
    "`subscribe`, keyed `app:user`, names up to `SUBSCRIPTIONS_PER_CALL` subscriptions of any groups",
    "Write what a client asks for with its slot; hand `subscribed` to that slot, and let it pull up to `heads`.",
)
async def subscribe(scene: Scene) -> None:
    """A client asks for two things, one of which it does not get, and takes one back."""
    ann, bob = await scene.begins("ann", "bob")
    group, other = scene.group(0), scene.group(1)
    await scene.lot(0, scene.bound(group, ann, bob, joined="none"))
    await scene.live(group, ann, bob)
    for seq in (1, 2):
        scene.message(group, seq)
    asked = [Subscription(group, "messages", MAIN), Subscription(other, "server")]
    await scene.tell(protocol.Subscribe(ann.number, asked))
    request = await _asked(scene, "subscribe", ann, [(group, "messages", MAIN), (other, "server", None)])
    await scene.lot(0, scene.subscribed(group, ann, "messages", head=2, request=request), urgent=True)
    await _granted(scene, group, ann, ("messages", MAIN))
    refused = [{"code": "not_a_member", "level": "server"}]
    await scene.lot(1, scene.subscribed(other, ann, refused=refused, request=request), urgent=True)
    heard = await _granted(scene, other, ann)
    if heard.refused != ["not_a_member"]:
        raise Wrong("`refused` with `not_a_member`", f"{heard}")
    await scene.shows(group, ann, 1, 2)
    await scene.tell(protocol.Unsubscribe(ann.number, asked[:1]))
    await _asked(scene, "unsubscribe", ann, [(group, "messages", MAIN)])
    await scene.lot(0, scene.subscribed(group, ann), urgent=True)
    await _granted(scene, group, ann)
    scene.shows_no_more(ann, bob)


@case(
    "audience_of_sessions",
    "its bitmap, and those of its deltas, hold *slots*.",
    "Look at `by`: with `session` the bitmaps hold slots; one that is unbound leaves, a new one is in none.",
)
async def audience_of_sessions(scene: Scene) -> None:
    """One device of a user subscribed, the other did not; then another user does, and the first goes."""
    (phone, bob) = await scene.begins("ann", "bob")
    tablet = await scene.connects("ann", "tablet")
    group = scene.group(0)
    clients = (phone, bob, tablet)
    await scene.lot(0, scene.bound(group, *clients, joined="none"))
    await scene.live(group, *clients)
    await scene.lot(0, scene.subscribed(group, phone, "messages"), urgent=True)
    await scene.lot(0, scene.sessions(group, 4, phone), scene.message(group, 1, au=4, av=1))
    await scene.shows(group, phone, 1)
    await scene.lot(0, scene.subscribed(group, bob, "messages", head=1), urgent=True)
    await scene.lot(0, scene.sessions_delta(group, 4, entered=[bob]), scene.message(group, 2, au=4, av=2))
    await scene.shows(group, phone, 2)
    await scene.shows(group, bob, 1, 2)
    await scene.lot(0, scene.unbound(group, phone), scene.message(group, 3, au=4, av=2))
    await scene.shows(group, bob, 3)
    await read_on(scene, *clients)
    await not_asked(scene)


@case(
    "visitor",
    "Some of its slots may be bound to nothing: those of *visitors*, who are no members.",
    "An audience of sessions may be the first that you hear of a group: keep it, and deliver to its slots.",
)
async def visitor(scene: Scene) -> None:
    """Nobody is bound; one visits."""
    ann, bob = await scene.begins("ann", "bob")
    group = scene.group(0)
    await scene.tell(protocol.Subscribe(ann.number, [Subscription(group, "messages", MAIN)]))
    await _asked(scene, "subscribe", ann, [(group, "messages", MAIN)])
    await scene.lot(0, scene.subscribed(group, ann, "messages"), urgent=True)
    await _granted(scene, group, ann, ("messages", MAIN))
    await scene.lot(0, scene.sessions(group, 1, ann), scene.message(group, 1, au=1, av=1))
    await scene.shows(group, ann, 1)
    await scene.lot(0, scene.sessions_delta(group, 1, left=[ann]))
    await read_on(scene, ann, bob)
    await not_asked(scene)


@case(
    "typing",
    "signals of kind `typing`, which nobody hears otherwise",
    "A signal goes to its audience: one of sessions as well.",
)
async def typing(scene: Scene) -> None:
    """One of two asked to know who types."""
    ann, bob = await scene.begins("ann", "bob")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann, bob), scene.sessions(group, 2, ann))
    named = {"app": scene.app, "group": group, "channel": MAIN, "version": 1, "map": 1, "audience": 2}
    await scene.lot(0, {"t": "signal", **named, "sender": "eve", "kind": "typing", "body": {"typing": True}})
    await scene.hears(protocol.Signal, ann, "a signal for ann")
    await read_on(scene, ann, bob)


@case(
    "changed_among",
    "with `among`, for those of them only who are in this audience too.",
    "A hint with `among` is for whom both audiences hold.",
)
async def changed_among(scene: Scene) -> None:
    """A hint for all of those who asked for the server's changes."""
    ann, bob = await scene.begins("ann", "bob")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann, bob, joined="none"), scene.sessions(group, 3, bob))
    await scene.lot(0, scene.changed(group, "roles", among=3))
    await scene.told(group, bob, "roles")
    await read_on(scene, ann, bob)


@case(
    "unread",
    "Hand it to the slots of `audience`, without those of `beside` that are in the foreground",
    "A notice is for its audience; whoever of `beside` is in the foreground got the messages themselves.",
)
async def unread(scene: Scene) -> None:
    """One shows the channel, one does not, one shows it and has turned away."""
    ann, bob, cid = await scene.begins("ann", "bob", "cid")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann, bob, cid, joined="unread_count"), scene.sessions(group, 1, ann, cid))
    await scene.live(group, ann, bob, cid)
    await scene.lot(0, scene.background(cid))
    await scene.lot(0, scene.message(group, 1, au=1, av=1), scene.unread(group, 1, 1, beside=1))
    await scene.shows(group, ann, 1)
    for client in (bob, cid):
        await _noticed(scene, group, client, 1, 1)
    await scene.lot(0, scene.sessions(group, 2, bob), scene.unread(group, 1, 1, audience=2, level="unread_status"))
    heard = await _noticed(scene, group, bob, 1, 1)
    if heard.level != "unread_status":
        raise Wrong("a notice of level `unread_status` for bob", f"{heard}")
    await _quiet(scene, ann, bob, cid)


@case(
    "background",
    "`m`, `signal` and `head` are for the slots of the audience that are in the *foreground*.",
    "Keep for each source which slots are in the background, and leave them out of messages, signals and heads.",
)
async def background(scene: Scene) -> None:
    """A client goes and comes back; it pulls what came meanwhile, if it shows it."""
    ann, bob = await scene.begins("ann", "bob")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann, bob))
    await scene.live(group, ann, bob)
    await scene.tell(protocol.Ground(bob.number, background=True))
    named: dict[str, Any] = {"slot": bob.slot, "epoch": scene.epoch}
    await scene.writes("sessions", "ground", "`ground` of bob, in the background", **named, background=True)
    await scene.lot(0, scene.background(bob))
    told = {"app": scene.app, "group": group, "channel": MAIN, "version": 1, "map": 1}
    signal = {"t": "signal", **told, "sender": "eve", "kind": "custom", "body": 1}
    await scene.lot(0, scene.message(group, 1), signal, scene.head(group, 1))
    await scene.shows(group, ann, 1)
    await scene.hears(protocol.Signal, ann, "a signal for ann")
    await scene.lot(0, scene.unread(group, 1, 1, background=True))
    await _noticed(scene, group, bob, 1, 1)
    await _quiet(scene, ann, bob)
    await scene.tell(protocol.Ground(bob.number, background=False))
    await scene.writes("sessions", "ground", "`ground` of bob, in the foreground", **named, background=False)
    await scene.lot(0, scene.background(bob, on=False))
    await scene.lot(0, scene.message(group, 2))
    await scene.shows(group, ann, 2)
    await scene.shows(group, bob, 1, 2)


@case(
    "background_reset",
    "What a source told of the background ends with `reset`",
    "A reset forgets who is in the background; the source tells it anew.",
)
async def background_reset(scene: Scene) -> None:
    """A source begins anew; another one knows still."""
    (ann,) = await scene.begins("ann")
    group, other = scene.group(0), scene.group(1)
    await scene.lot(0, scene.bound(group, ann), scene.background(ann))
    await scene.lot(1, scene.bound(other, ann), scene.background(ann))
    await scene.lot(0, scene.bound(group, ann), reset=True)
    await scene.lot(0, scene.message(group, 1))
    await scene.shows(group, ann, 1)
    await scene.lot(1, scene.bait(other), scene.unread(other, 1, 1, background=True))
    await _noticed(scene, other, ann, 1, 1)


@case(
    "drive",
    "What the slots that listen to the group hear of its channels unasked is another thing.",
    "Tell the clients bound to the group, so that they subscribe to what they show; `bound` says how it begins.",
)
async def drive(scene: Scene) -> None:
    """A group grows too large to be heard unasked."""
    ann, bob = await scene.begins("ann", "bob")
    group, other = scene.group(0), scene.group(0, "h")
    await scene.lot(0, scene.bound(group, ann), scene.bound(other, bob, joined="none"))
    for client, where, joined in ((ann, group, "messages"), (bob, other, "none")):
        live = await scene.hears(protocol.Live, client, f"`live` for {client.user}")
        if (live.group, live.joined) != (where, joined):
            raise Wrong(f"`live` of {where!r} with {joined}", f"{live}")
    await scene.lot(0, {"t": "drive", "app": scene.app, "group": group, "version": 3, "joined": "none"})
    heard = await scene.hears(protocol.Drive, ann, "`drive` for ann")
    if (heard.group, heard.joined) != (group, "none"):
        raise Wrong(f"`drive` of {group!r} with none", f"{heard}")
    await _quiet(scene, ann, bob)


@case(
    "mention",
    "a mention is no part of the channel's chain of `prev`",
    "Hand a mention to its slots, wherever they are, beside the message: it shows nothing and fills no gap.",
)
async def mention(scene: Scene) -> None:
    """Two are mentioned: one who hears the message as well, one in the background who does not."""
    ann, bob, cid = await scene.begins("ann", "bob", "cid")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann, bob, cid), scene.background(bob))
    await scene.live(group, ann, bob, cid)
    first, second = scene.message(group, 1), scene.message(group, 2, mn=["ann", "bob"])
    await scene.lot(0, scene.mention(second, ann, bob), urgent=True)
    await scene.lot(0, first, second)
    for client in (ann, bob):
        heard = await scene.hears(protocol.Mentioned, client, f"`mentioned` for {client.user}")
        if (heard.group, heard.seq) != (group, 2):
            raise Wrong(f"`mentioned` of message 2 of {group!r}", f"{heard}")
    for client in (ann, cid):
        await scene.shows(group, client, 1, 2)
    await _quiet(scene, ann, bob, cid)


@case(
    "send_mentions",
    "A send may name up to `MENTIONS` users in `mentions`.",
    "Pass on whom a client mentions.",
)
async def send_mentions(scene: Scene) -> None:
    """A message mentions two."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann))
    await scene.live(group, ann)
    await scene.sends(ann, group, "c-1", "hi", mentions=["bob", "cid"])
    sent = (await scene.writes("messages", "send", "`send` with client_id c-1", client_id="c-1")).value or {}
    if sent.get("mentions") != ["bob", "cid"]:
        raise Wrong("`mentions` bob and cid", f"{sent.get('mentions')}")


@case(
    "urgent",
    "They are numbered like all others, and a hole is a hole.",
    "Count urgent lots with the others: one that is lost is a hole, and each is handed on once.",
)
async def urgent(scene: Scene) -> None:
    """An answer comes while a source begins anew; an urgent lot is lost."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann))
    await scene.live(group, ann)
    await scene.sends(ann, group, "c-1", "hi")
    await scene.writes("messages", "send", "`send` with client_id c-1", client_id="c-1")
    named = {"app": scene.app, "group": group, "client_id": "c-1", "channel": MAIN, "seq": 1, "at": 1}
    answer = {"t": "accepted", **named, "slot": ann.slot}
    own = scene.message(group, 1, f="ann", d="phone", i="c-1")
    await scene.lot(0, answer, urgent=True)
    await scene.lot(0, own)
    await scene.hears(protocol.Accepted, ann, "`accepted` for ann")
    await scene.shows(group, ann, 1)
    scene.lose(0)
    await scene.lot(0, scene.mention(own, ann), urgent=True)
    await asks(scene, source=0, have=None)
    await scene.lot(0, scene.bound(group, ann, head=1), reset=True)
    await scene.lot(0, scene.message(group, 2))
    await scene.shows(group, ann, 2)
    mentions = [event for event in scene.gateway.seen_of(ann.number) if isinstance(event, protocol.Mentioned)]
    if len(mentions) > 1:
        raise Wrong("a mention once at most", f"{mentions}")


@case(
    "ack",
    "Write `ack` to the partition `source` of `link-acks`: the number of the last lot of this source",
    "Once a second at most say for each source how far you are; what is not acknowledged is your backlog.",
)
async def ack(scene: Scene) -> None:
    """Lots of two sources, then more of one."""
    (ann,) = await scene.begins("ann")
    first, second = scene.group(0), scene.group(1)
    await scene.lot(0, scene.bound(first, ann), scene.message(first, 1))
    await scene.lot(1, scene.bound(second, ann))
    await scene.lot(1, scene.message(second, 1))
    for source, number in ((0, 1), (1, 2)):
        await _acked(scene, source, number)
    began_ms = await scene.lot(0, scene.message(first, 2))
    for seq in range(3, 13):
        await scene.lot(0, scene.message(first, seq))
    await _acked(scene, 0, scene.number(0))
    late = [record.at_ms for record in scene.written("link-acks", "ack", source=0) if record.at_ms > began_ms]
    took_ms = max(late, default=began_ms) - began_ms
    if len(late) > _FEW_ACKS + took_ms / limits.ACK_MS:
        raise Wrong(f"an ack of a source every {limits.ACK_MS} ms at most", f"{len(late)} within {took_ms} ms")
    await scene.shows(first, ann, *range(1, 13))


@case(
    "overrun",
    "Ask for `resync` when you get there; nothing but answers and mentions comes until then.",
    "A lot with `overrun` is applied like any other; then ask the source to begin anew.",
)
async def overrun(scene: Scene) -> None:
    """The link fell too far behind."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann), scene.message(group, 1))
    await scene.shows(group, ann, 1)
    await scene.lot(0, overrun=True)
    await asks(scene, source=0, have=None)
    scene.message(group, 2)
    await scene.lot(0, scene.bound(group, ann, head=2), reset=True)
    await scene.lot(0, scene.message(group, 3))
    await scene.shows(group, ann, 2, 3)


async def _asked(scene: Scene, kind: str, client: Client, wanted: list[tuple[str, str, str | None]]) -> Any:
    """The record of what a client asked for; gives its request."""
    record = await scene.writes("sessions", kind, f"`{kind}` of {client.user}", slot=client.slot, epoch=scene.epoch)
    value = record.value or {}
    found = [(one["group"], one["level"], one.get("channel")) for one in value.get("subscriptions", ())]
    if found != wanted or value.get("user") != client.user:
        raise Wrong(f"`{kind}` of {wanted}", f"{value}")
    return value.get("request")


async def _granted(scene: Scene, group: str, client: Client, *wanted: tuple[str, str | None]) -> protocol.Subscribed:
    heard = await scene.hears(protocol.Subscribed, client, f"`subscribed` for {client.user}")
    found = [(one.level, one.channel) for one in heard.wanted]
    if (heard.group, found) != (group, [*wanted]):
        raise Wrong(f"`subscribed` of {group!r} with {[*wanted]}", f"{heard}")
    return heard


async def _noticed(scene: Scene, group: str, client: Client, seq: int, count: int) -> protocol.Unread:
    heard = await scene.hears(protocol.Unread, client, f"`unread` for {client.user}")
    if (heard.group, heard.seq, heard.count) != (group, seq, count):
        raise Wrong(f"`unread` of {group!r} up to {seq}, {count} of them", f"{heard}")
    return heard


async def _acked(scene: Scene, source: int, number: int) -> None:
    named: dict[str, Any] = {"link": scene.link, "epoch": scene.epoch, "source": source, "number": number}
    await scene.writes("link-acks", "ack", f"`ack` of source {source} up to {number}", **named)


async def _quiet(scene: Scene, *clients: Client) -> None:
    """All was read, and these clients were told nothing more."""
    await read_on(scene, *clients)
    await not_asked(scene)


_FEW_ACKS: Final = 2  # more than the time has room for: the first, and one that was late
