"""What a link is delivered: lots, bindings, holes, and what came later than the gateway."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from jobs.conformance import protocol
from jobs.conformance.case import case
from jobs.conformance.scene import START_S, Scene, Wrong

_AGAIN_MS: Final = 5_000
_PAUSE_MS: Final = 1_000
_STORMS: Final = 3  # a machine may be slow once: who breaks the rule does so in one of them
_CLOCKS_MS: Final = 200  # the gateway's clock and the broker's
_LATER_VERSION: Final = 1_000
_ON_ITS_WAY_S: Final = 0.5


@case(
    "live",
    "These `slots` listen to the group from here on: they are *live*.",
    "On `bound` tell exactly the named slots' clients that they hear the group.",
)
async def live(scene: Scene) -> None:
    """Two of three clients are bound, in one entry."""
    ann, bob, cid = await scene.begins("ann", "bob", "cid")
    first, second = scene.group(0), scene.group(0, "h")
    await scene.lot(0, scene.bound(first, ann, bob), scene.bound(second, cid))
    await scene.live(first, ann, bob)
    await scene.live(second, cid)
    for client in (ann, bob, cid):
        if strange := [event for event in scene.gateway.seen_of(client.number) if isinstance(event, protocol.Live)]:
            raise Wrong(f"`live` once for {client.user}", f"also {strange[0]}")


@case(
    "expand",
    "A message: to every slot of its audience.",
    "Keep, per source, group → slots, and who is in which audience; write a message to exactly these slots.",
)
async def expand(scene: Scene) -> None:
    """Groups that share clients, a source, or nothing."""
    ann, bob, cid = await scene.begins("ann", "bob", "cid")
    first, second, third = scene.group(0), scene.group(0, "h"), scene.group(1)
    await scene.lot(0, scene.bound(first, ann, bob), scene.bound(second, bob, cid))
    await scene.lot(1, scene.bound(third, cid))
    await scene.lot(0, scene.message(first, 1), scene.message(second, 1))
    await scene.lot(1, scene.message(third, 1))
    await scene.lot(0, scene.message(second, 2), scene.message(first, 2))
    for group, clients, last in ((first, (ann, bob), 2), (second, (bob, cid), 2), (third, (cid,), 1)):
        for client in clients:
            await scene.shows(group, client, *range(1, last + 1))
    scene.shows_no_more(ann, bob, cid)


@case(
    "order",
    "Entries are to be applied in order.",
    "Apply the entries of a lot one after the other: a message is for those bound where it stands.",
)
async def order(scene: Scene) -> None:
    """A client is bound, unbound and bound again inside one lot."""
    ann, bob = await scene.begins("ann", "bob")
    group = scene.group(0)
    between = [scene.unbound(group, ann), scene.message(group, 2), scene.bound(group, ann, head=2)]
    await scene.lot(0, scene.bound(group, ann, bob), scene.message(group, 1), *between, scene.message(group, 3))
    await scene.shows(group, bob, 1, 2, 3)
    await scene.shows(group, ann, 1, 2, 3)  # the second one by a pull, once it is a member again
    await scene.lot(0, scene.unbound(group, ann), scene.bait(group, prev=3), scene.bound(group, ann, head=3))
    await scene.lot(0, scene.message(group, 4, prev=3))
    await scene.shows(group, ann, 4)


@case(
    "unbound",
    "These slots listen no more: closed, left, removed, or the group ended.",
    "On `unbound` take the slots out of the group before you apply the next entry.",
)
async def unbound(scene: Scene) -> None:
    """One of two clients leaves a group and stays in another one."""
    ann, bob = await scene.begins("ann", "bob")
    left, kept = scene.group(0), scene.group(0, "h")
    await scene.lot(0, scene.bound(left, ann, bob), scene.bound(kept, bob))
    await scene.lot(0, scene.unbound(left, bob))
    await scene.lot(0, scene.message(left, 1))
    await scene.lot(0, scene.message(kept, 1))
    await scene.shows(left, ann, 1)
    await scene.shows(kept, bob, 1)
    scene.shows_no_more(bob)


@case(
    "closed_slot",
    "A slot whose connection is gone already is skipped; its `unbound` is on the way.",
    "Look each slot up; one without a connection is no error.",
)
async def closed_slot(scene: Scene) -> None:
    """A message for a slot whose connection has just ended."""
    ann, bob = await scene.begins("ann", "bob")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann, bob))
    await scene.live(group, ann, bob)
    await scene.disconnects(ann)
    await scene.writes("sessions", "down", f"`down` of slot {ann.slot}", slot=ann.slot)
    await scene.lot(0, scene.message(group, 1))
    await scene.lot(0, scene.unbound(group, ann), scene.message(group, 2))
    await scene.shows(group, bob, 1, 2)


@case(
    "other_epoch",
    "you ignore lots that name another (link, epoch) than yours",
    "Compare link and epoch of every lot before its numbers: the partition may have belonged to somebody else.",
)
async def other_epoch(scene: Scene) -> None:
    """Lots for the registration before, and for one to come."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    for epoch in (scene.epoch - 1, scene.epoch + 1):
        await scene.lot(0, scene.bound(group, ann), scene.bait(group), number=1, epoch=epoch)
    await scene.lot(0, scene.bound(group, ann), scene.message(group, 1), number=1)
    await scene.shows(group, ann, 1)
    await not_asked(scene)


@case(
    "other_link",
    "A partition may have belonged to somebody else before.",
    "Compare link and epoch of every lot before its numbers: the partition may have belonged to somebody else.",
)
async def other_link(scene: Scene) -> None:
    """A lot of another link with the same epoch."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann), scene.bait(group), number=1, link="another-link")
    await scene.lot(0, scene.bound(group, ann), scene.message(group, 1), number=1)
    await scene.shows(group, ann, 1)
    await not_asked(scene)


@case(
    "old_lot",
    "| `number` ≤ `have` | old | drop it |",
    "Keep the last number per source; drop what is not above it, even with `reset`.",
)
async def old_lot(scene: Scene) -> None:
    """Lots come again, one of them as a reset."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann))
    await scene.lot(0, scene.message(group, 1))
    await scene.lot(0, scene.bait(group, prev=1), number=2)
    await scene.lot(0, scene.bait(group, prev=1), number=1)
    await scene.lot(0, number=1, reset=True)
    await scene.lot(0, scene.message(group, 2))
    await scene.shows(group, ann, 1, 2)
    await not_asked(scene)


@case(
    "hole",
    "| a greater `number` | a hole | drop it, and resync |",
    "When a number is skipped, drop the lot and all that follow of this source, and write one `resync` with `have`.",
)
async def hole(scene: Scene) -> None:
    """The lot that ends a binding is lost."""
    ann, bob = await scene.begins("ann", "bob")
    group = scene.group(1)
    await scene.lot(1, scene.bound(group, ann, bob))
    scene.lose(1)  # it said that bob is bound no more
    await scene.lot(1, scene.bait(group))
    await asks(scene, source=1, have=1)
    await scene.lot(1, scene.bait(group))
    await scene.lot(1, scene.bound(group, ann), reset=True)
    await scene.lot(1, scene.message(group, 1))
    await scene.live(group, ann)
    await scene.shows(group, ann, 1)
    scene.shows_no_more(bob)
    await not_asked(scene)


@case(
    "first_lot",
    "A first lot with another number than 1 is a hole too",
    "Begin each source with `have` 0: whatever comes first must be number 1, or a reset.",
)
async def first_lot(scene: Scene) -> None:
    """The first lot of a source is lost."""
    (ann,) = await scene.begins("ann")
    group = scene.group(2)
    scene.lose(2)
    await scene.lot(2, scene.bound(group, ann), scene.bait(group))
    await asks(scene, source=2, have=0)
    await scene.lot(2, scene.bound(group, ann), reset=True)
    await scene.lot(2, scene.message(group, 1))
    await scene.shows(group, ann, 1)


@case(
    "other_sources",
    "Drop every lot of that source until one with `reset` comes; other sources go on.",
    "Keep `have`, bindings and distrust per source; never let one source's hole stop another.",
)
async def other_sources(scene: Scene) -> None:
    """One source has a hole; another one goes on meanwhile."""
    (ann,) = await scene.begins("ann")
    lost, good = scene.group(0), scene.group(1)
    await scene.lot(0, scene.bound(lost, ann))
    await scene.lot(1, scene.bound(good, ann))
    scene.lose(0)
    await scene.lot(0, scene.bait(lost))
    await asks(scene, source=0, have=1)
    await scene.lot(1, scene.message(good, 1))
    await scene.shows(good, ann, 1)
    await scene.lot(0, scene.bound(lost, ann), reset=True)
    await scene.lot(0, scene.message(lost, 1))
    await scene.shows(lost, ann, 1)
    await not_asked(scene)


@case(
    "reset",
    "forget all bindings and audiences of this source; apply; `have = number`",
    "A reset clears what this source had bound, and nothing of other sources; its number is the new `have`.",
)
async def reset(scene: Scene) -> None:
    """A source begins anew and does not name one of its groups again."""
    (ann,) = await scene.begins("ann")
    kept, dropped, other = scene.group(0), scene.group(0, "h"), scene.group(1)
    await scene.lot(0, scene.bound(kept, ann), scene.bound(dropped, ann))
    await scene.lot(1, scene.bound(other, ann))
    await scene.lot(0, scene.bound(kept, ann), reset=True, number=7)
    await scene.lot(0, scene.message(kept, 1), number=8)
    await scene.lot(1, scene.message(other, 1))
    await scene.shows(kept, ann, 1)
    await scene.shows(other, ann, 1)
    await scene.lot(0, scene.bait(dropped), number=9)
    await asks(scene, source=0, have=None)
    await scene.lot(1, scene.message(other, 2))
    await scene.shows(other, ann, 2)
    scene.shows_no_more(ann)


@case(
    "unknown_group",
    "so is a message, signal or head for a group that you know no binding of",
    "A message for a group that nobody here is bound to shows that a binding was missed: resync its source.",
)
async def unknown_group(scene: Scene) -> None:
    """A message for a group that was never bound here."""
    (ann,) = await scene.begins("ann")
    known, unknown = scene.group(0), scene.group(0, "h")
    await scene.lot(0, scene.bound(known, ann))
    await scene.lot(0, scene.bait(unknown))
    await asks(scene, source=0, have=None)
    await scene.lot(0, scene.bound(known, ann), scene.bound(unknown, ann), reset=True)
    await scene.lot(0, scene.message(unknown, 1))
    await scene.shows(unknown, ann, 1)


@case(
    "unknown_audience",
    'Do not guess, least of all "everyone": deliver it to nobody, and resync the source.',
    "Read `au`; where it is not 0 (or one that you were told of), deliver to nobody and resync the source.",
)
async def unknown_audience(scene: Scene) -> None:
    """A message for an audience that nobody told the gateway of."""
    ann, bob = await scene.begins("ann", "bob")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann, bob))
    await scene.lot(0, {**scene.bait(group), "au": 5, "av": 3})
    await asks(scene, source=0, have=None)
    await scene.lot(0, scene.bound(group, ann, bob), reset=True)
    await scene.lot(0, scene.message(group, 1))
    await scene.shows(group, ann, 1)
    await scene.shows(group, bob, 1)


@case(
    "resync_again",
    "If none comes within 5 s, ask again.",
    "Note when you asked; after 5 s without a reset of that source write the same `resync` again.",
)
async def resync_again(scene: Scene) -> None:
    """Nobody answers the first resync."""
    await scene.begins()
    scene.lose(3)
    expected = "`resync` of source 3"
    hole_ms = await scene.lot(3)  # it asks no earlier; on a slow machine its first record may be late
    await scene.writes("resync", "resync", expected, source=3)
    for _ in range(3):
        await scene.lot(3)
    patience_s = _AGAIN_MS / 1000 + scene.patience_s
    second = await scene.writes("resync", "resync", expected + " again", within_s=patience_s, source=3)
    if (waited_ms := second.at_ms - hole_ms) < _AGAIN_MS - _CLOCKS_MS:
        raise Wrong(f"the next `resync` {_AGAIN_MS} ms after the first", f"one after {waited_ms} ms")


@case(
    "resync_storm",
    "After a reset, do not ask the same source again for a second",
    "After a reset wait a second before you ask that source again, however much of it you do not understand.",
)
async def resync_storm(scene: Scene) -> None:
    """What follows a reset is not understood either."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    strange = {**scene.bait(group), "au": 5, "av": 3}
    await scene.lot(0, scene.bound(group, ann), strange)
    await asks(scene, source=0, have=None)
    for _ in range(_STORMS):
        reset_ms = await scene.lot(0, scene.bound(group, ann), reset=True)
        for _ in range(5):
            await scene.lot(0, strange)
        again = await scene.writes("resync", "resync", "`resync` of source 0 again, a second later", source=0)
        if (waited_ms := again.at_ms - reset_ms) < _PAUSE_MS - _CLOCKS_MS:
            raise Wrong(f"the next `resync` {_PAUSE_MS} ms after the reset", f"one after {waited_ms} ms")
    await scene.lot(0, scene.bound(group, ann), reset=True)
    await scene.lot(0, scene.message(group, 1))
    await scene.shows(group, ann, 1)
    await not_asked(scene)


@case(
    "unknown_entry",
    "Entries of a kind you do not know are skipped.",
    "Skip an entry whose `t` you do not know; apply the others of its lot.",
)
async def unknown_entry(scene: Scene) -> None:
    """An entry that came later than this gateway, among others."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    later = {"t": "sparkle", "app": scene.app, "group": group, "colours": ["red"], "slots": [ann.slot]}
    await scene.lot(0, later, scene.bound(group, ann), later, scene.message(group, 1))
    await scene.lot(0, scene.message(group, 2))
    await scene.shows(group, ann, 1, 2)
    await not_asked(scene)


@case(
    "unknown_fields",
    "Ignore fields you do not know.",
    "Decode records leniently: an additional field must not make a record unreadable.",
)
async def unknown_fields(scene: Scene) -> None:
    """Every record has more fields than today."""
    more: dict[str, Any] = {"later": {"deep": [1, None, "x"]}}
    record = await scene.writes("links", "register", "a registration of the link", within_s=START_S)
    scene.accept(record)
    await scene.confirm(record, **more)
    ann = await scene.connects("ann")
    group = scene.group(0)
    await scene.lot(0, {**scene.bound(group, ann), **more}, scene.message(group, 1, **more), **more)
    await scene.shows(group, ann, 1)
    await not_asked(scene)


@case(
    "unknown_version",
    "Apply nothing of it and nothing after it, close every connection, leave, and tell whoever runs you",
    "Check `v` first. On a higher one: stop reading, close all connections, write `leave`, say `failed`.",
)
async def unknown_version(scene: Scene) -> None:
    """A lot of a schema version that came later, and one after it."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann))
    await scene.live(group, ann)
    await scene.lot(0, scene.bait(group), v=_LATER_VERSION)
    await scene.lot(0, scene.bait(group))
    await scene.hears(protocol.Closed, ann, "ann's connection is closed, and nothing delivered")
    if (code := await scene.has_failed()) != "unknown_version":
        raise Wrong("`failed` with the code `unknown_version`", f"`failed` with {code!r}")
    await scene.writes("links", "leave", f"`leave` of epoch {scene.epoch}", epoch=scene.epoch)
    scene.shows_no_more(ann)
    if again := scene.written("links", "register"):
        raise Wrong("no further registration", again[0].raw.decode())


@case(
    "read_committed",
    "Read `deliveries` and `answers` with `isolation.level=read_committed`.",
    "Set isolation.level=read_committed: what an aborted transaction wrote never happened.",
)
async def read_committed(scene: Scene) -> None:
    """A lot of a transaction that is aborted; the next one has its number."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann))
    await scene.lot(0, scene.bait(group), commit=False)
    await scene.lot(0, scene.message(group, 1))
    await scene.shows(group, ann, 1)
    await not_asked(scene)


@case(
    "signal",
    "The same for something that is not kept; it has no seq.",
    "Write a signal to every slot bound to the group.",
)
async def signal(scene: Scene) -> None:
    """A signal for one of two groups."""
    ann, bob = await scene.begins("ann", "bob")
    first, second = scene.group(0), scene.group(0, "h")
    await scene.lot(0, scene.bound(first, ann), scene.bound(second, bob))
    told = {"t": "signal", "app": scene.app, "group": first, "channel": "main", "version": 1, "map": 1}
    await scene.lot(0, {**told, "sender": "eve", "kind": "typing", "body": {"typing": True}})
    await scene.lot(0, scene.message(second, 1))
    heard = await scene.hears(protocol.Signal, ann, "a signal for ann")
    if heard.body != {"typing": True}:
        raise Wrong('the signal\'s body {"typing":true}', f"{heard.body}")
    await scene.shows(second, bob, 1)
    scene.shows_no_more(bob)


async def asks(scene: Scene, source: int, have: int | None) -> None:
    """The gateway asks this source, and no other."""
    address: dict[str, Any] = {"link": scene.link, "epoch": scene.epoch, "partition": scene.partition, "source": source}
    named = address if have is None else {**address, "have": have}
    await scene.writes("resync", "resync", f"`resync` with {named}", **_without_defaults(named))
    if wrong := [record for record in scene.written("resync", "resync") if (record.value or {})["source"] != source]:
        raise Wrong(f"`resync` of source {source} only", wrong[0].raw.decode())


def _without_defaults(named: dict[str, Any]) -> dict[str, Any]:
    """`have` is 0 where it is absent."""
    return {name: value for name, value in named.items() if (name, value) != ("have", 0)}


async def not_asked(scene: Scene) -> None:
    """No resync but those that were waited for; a moment is left for one that is on its way."""
    await asyncio.sleep(_ON_ITS_WAY_S)
    if asked := scene.written("resync", "resync"):
        raise Wrong("no `resync`", asked[0].raw.decode())
