"""Who of a group hears what: audiences, their changes, and what clients are told of changes and in person."""

from __future__ import annotations

from typing import Final

from jobs.conformance import protocol
from jobs.conformance.case import case
from jobs.conformance.cases.deliveries import asks, not_asked
from jobs.conformance.scene import Client, Scene, Wrong

_OTHER: Final = 1  # a source whose messages show that everything before them was read


@case(
    "audience",
    "`audience` gives the set in `members`: those only who listen on your link.",
    "Keep each audience's ordinals; write a message with `au` to the slots of these ordinals, and to no other.",
)
async def audience(scene: Scene) -> None:
    """Two audiences of one group, and everybody."""
    ann, bob, cid = await scene.begins("ann", "bob", "cid")
    first, second = scene.group(0), scene.group(0, "h")
    await scene.lot(0, scene.bound(first, ann, bob, cid), scene.bound(second, ann, bob, cid))
    await scene.lot(0, scene.audience(first, 1, ann, cid), scene.message(first, 1, au=1, av=1))
    await scene.lot(0, scene.audience(second, 1, bob), scene.message(second, 1, au=1, av=1))
    await scene.lot(0, scene.message(first, 2, au=1, av=1))
    for client in (ann, cid):
        await scene.shows(first, client, 1, 2)
    await scene.shows(second, bob, 1)
    await read_on(scene, ann, bob, cid)
    await not_asked(scene)


@case(
    "audience_of_signals",
    "`audience` of an entry (`au` in a message; 0 when absent) names who is to hear it.",
    "Look at the audience of signals and heads too; it is called `audience` there.",
)
async def audience_of_signals(scene: Scene) -> None:
    """A signal and a head for one of two."""
    ann, bob = await scene.begins("ann", "bob")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann, bob), scene.audience(group, 4, ann))
    named = {"app": scene.app, "group": group, "channel": "main", "version": 1, "map": 1, "audience": 4}
    await scene.lot(0, {"t": "signal", **named, "sender": "eve", "kind": "typing", "body": {"typing": True}})
    await scene.hears(protocol.Signal, ann, "a signal for ann")
    scene.message(group, 1)
    await scene.lot(0, {**scene.head(group, 1), "audience": 4, "audience_version": 1})
    await scene.shows(group, ann, 1)
    await read_on(scene, ann, bob)


@case(
    "audience_delta",
    "`audience_delta` changes it: add `entered`, take away `left`.",
    "Apply a delta where it stands: before it the old set hears, after it the new one.",
)
async def audience_delta(scene: Scene) -> None:
    """One leaves and one enters between two messages of one lot."""
    ann, bob, cid = await scene.begins("ann", "bob", "cid")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann, bob, cid), scene.audience(group, 1, ann, bob))
    change = scene.delta(group, 1, entered=[cid], left=[bob])
    await scene.lot(0, scene.message(group, 1, au=1, av=1), change, scene.message(group, 2, au=1, av=2))
    await scene.shows(group, ann, 1, 2)
    await scene.shows(group, bob, 1)
    await scene.shows(group, cid, 1, 2)  # the first one by a pull, as it sees the channel now
    for client in (bob, cid):
        await scene.told(group, client, "visibility")
    await read_on(scene, ann, bob, cid)
    await not_asked(scene)


@case(
    "audience_told_again",
    "Where you knew it, it is replaced.",
    "An `audience` that comes again is the whole set: forget the one that you had.",
)
async def audience_told_again(scene: Scene) -> None:
    """An audience of two is told again with one of them."""
    ann, bob = await scene.begins("ann", "bob")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann, bob), scene.audience(group, 1, ann, bob))
    await scene.lot(0, scene.audience(group, 1, bob, version=2), scene.message(group, 1, au=1, av=2))
    await scene.shows(group, bob, 1)
    await read_on(scene, ann, bob)


@case(
    "audience_ended",
    "With `ended` the audience is used no more.",
    "Forget an audience that ended. What names it later was not meant for the one that you knew.",
)
async def audience_ended(scene: Scene) -> None:
    """An audience ends; its id comes once more, and nothing was told about it."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann), scene.audience(group, 1, ann))
    await scene.lot(0, scene.message(group, 1, au=1, av=1), scene.delta(group, 1, ended=True))
    await scene.shows(group, ann, 1)
    await scene.told(group, ann, "visibility")
    await scene.lot(0, {**scene.bait(group, prev=1), "au": 1, "av": 1})
    await asks(scene, source=0, have=None)
    scene.shows_no_more(ann)


@case(
    "bound_audiences",
    "`bound.audiences` puts a new listener's ordinal into the audiences named.",
    "Read `audiences` of `bound`: a list for each ordinal; without it a new listener hears nothing but audience 0.",
)
async def bound_audiences(scene: Scene) -> None:
    """Two come when the audiences are known; each is in another one."""
    ann, bob, cid = await scene.begins("ann", "bob", "cid")
    group, other = scene.group(0), scene.group(0, "h")
    await scene.lot(0, scene.bound(group, ann), scene.bound(other, ann))
    await scene.lot(0, *(scene.audience(group, number, ann) for number in (1, 2)), scene.audience(other, 1, ann))
    await scene.lot(0, scene.bound(group, bob, cid, audiences=[[1, 2], []]))
    await scene.lot(0, scene.bound(other, bob, cid, audiences=[[], [1]]))
    await scene.lot(0, scene.message(group, 1, au=1, av=1), scene.message(group, 2, au=2, av=1))
    await scene.lot(0, scene.message(other, 1, au=1, av=1))
    for client in (ann, bob):
        await scene.shows(group, client, 1, 2)
    for client in (ann, cid):
        await scene.shows(other, client, 1)
    await read_on(scene, ann, bob, cid)
    await not_asked(scene)


@case(
    "last_slot",
    "an ordinal whose last slot here is unbound leaves all audiences. While one slot of it is left, it stays.",
    "Count the slots of an ordinal: the last one that goes takes it out of every audience.",
)
async def last_slot(scene: Scene) -> None:
    """A user with two devices loses one, then the other, and comes back without the audience."""
    (bob, phone) = await scene.begins("bob", "ann")
    tablet = await scene.connects("ann", "tablet")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, bob, phone, tablet), scene.audience(group, 1, bob, phone))
    await scene.lot(0, scene.unbound(group, phone), scene.message(group, 1, au=1, av=1))
    await scene.shows(group, tablet, 1)
    await scene.shows(group, bob, 1)
    await scene.lot(0, scene.unbound(group, tablet), scene.bound(group, tablet, head=1))
    await scene.lot(0, scene.message(group, 2, au=1, av=1))
    await scene.shows(group, bob, 2)
    await read_on(scene, bob, phone, tablet)
    await not_asked(scene)


@case(
    "second_slot",
    "Any other number is a set of ordinals that you were told before",
    "An audience names ordinals: deliver to all slots of each, also to one that came later.",
)
async def second_slot(scene: Scene) -> None:
    """A second device of one who is in an audience."""
    (phone,) = await scene.begins("ann")
    tablet = await scene.connects("ann", "tablet")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, phone), scene.audience(group, 1, phone))
    await scene.lot(0, scene.message(group, 1, au=1, av=1))
    await scene.shows(group, phone, 1)
    await scene.lot(0, scene.bound(group, tablet, head=1, audiences=[[1]]))
    await scene.shows(group, tablet, 1)  # by a pull; what comes now is pushed
    await scene.lot(0, scene.message(group, 2, au=1, av=1))
    for client in (phone, tablet):
        await scene.shows(group, client, 2)


@case(
    "audience_of_nobody",
    "A message may come for an audience that only others are in by now: deliver it to nobody.",
    "An audience that you know and nobody here is in is nothing strange: deliver to nobody, ask nothing.",
)
async def audience_of_nobody(scene: Scene) -> None:
    """The last one here leaves an audience; one is told that nobody here was ever in."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann), scene.audience(group, 1, ann), scene.audience(group, 2))
    await scene.lot(0, scene.delta(group, 1, left=[ann]))
    await scene.told(group, ann, "visibility")
    await scene.lot(0, {**scene.bait(group), "au": 1, "av": 2}, {**scene.bait(group), "au": 2, "av": 1})
    await read_on(scene, ann)
    await not_asked(scene)


@case(
    "missed_audience",
    "An entry for an audience that you do not know, a delta of it, or a `bound` that names it, shows that you missed "
    "something.",
    "Resync the source when a delta or a `bound` names an audience that you were not told of.",
)
async def missed_audience(scene: Scene) -> None:
    """A delta of an unknown audience; after the reset, a binding that names one."""
    ann, bob = await scene.begins("ann", "bob")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann))
    await scene.lot(0, scene.delta(group, 7, entered=[ann]))
    await asks(scene, source=0, have=None)
    again = [scene.bound(group, ann), scene.audience(group, 1, ann)]
    await scene.lot(0, *again, scene.message(group, 1, au=1, av=1), reset=True)
    await scene.shows(group, ann, 1)
    await scene.lot(0, scene.bound(group, bob, audiences=[[8]]))
    await asks(scene, source=0, have=None)


@case(
    "unknown_end",
    "The end of one that you do not know says nothing: skip it.",
    "A delta with `ended` for an audience that you do not know is no reason to resync.",
)
async def unknown_end(scene: Scene) -> None:
    """An audience ends of which nothing was told here."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann), scene.delta(group, 9, ended=True))
    await read_on(scene, ann)
    await not_asked(scene)


@case(
    "reset_audiences",
    "`reset` forgets all audiences of the source, with the bindings.",
    "A reset clears the audiences too: they are told again before they are used.",
)
async def reset_audiences(scene: Scene) -> None:
    """After a reset an audience of before is named, without having been told again."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann), scene.audience(group, 1, ann), scene.message(group, 1, au=1, av=1))
    await scene.shows(group, ann, 1)
    await scene.lot(0, scene.bound(group, ann, head=1), reset=True)
    await scene.lot(0, {**scene.bait(group, prev=1), "au": 1, "av": 1})
    await asks(scene, source=0, have=None)
    scene.shows_no_more(ann)


@case(
    "changed",
    "It is for the ordinals in the bitmap `members`, or, where that is empty, for the `audience` as with messages",
    "Tell exactly those it is for: all bindings of the group where it names neither `members` nor `audience`.",
)
async def changed(scene: Scene) -> None:
    """Three hints: for everybody, for an audience, for one member."""
    ann, bob, cid = await scene.begins("ann", "bob", "cid")
    group, other = scene.group(0), scene.group(0, "h")
    await scene.lot(0, scene.bound(group, ann, bob), scene.bound(other, cid), scene.audience(group, 1, ann))
    await scene.lot(0, scene.changed(group, "roles"))
    for client in (ann, bob):
        await scene.told(group, client, "roles")
    await scene.lot(0, scene.changed(group, "channels", channels=["main"], audience=1, audience_version=1))
    await scene.told(group, ann, "channels")
    await scene.lot(0, scene.changed(group, "visibility", members=scene.bitmap(group, bob)))
    await scene.told(group, bob, "visibility")
    await read_on(scene, ann, bob, cid)
    await not_asked(scene)


@case(
    "changed_by_delta",
    "Tell the slots of the ordinals in `entered` and `left` of a delta the same: what they see changed.",
    "Whoever enters or leaves an audience is told `changed` with `visibility`; an `audience` alone tells nobody.",
)
async def changed_by_delta(scene: Scene) -> None:
    """One enters, one leaves, one stays, one was never in it."""
    ann, bob, cid, dan = await scene.begins("ann", "bob", "cid", "dan")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann, bob, cid, dan), scene.audience(group, 1, bob, cid))
    await scene.lot(0, scene.delta(group, 1, entered=[ann], left=[bob], version=5))
    for client in (ann, bob):
        await scene.told(group, client, "visibility")
    await read_on(scene, ann, bob, cid, dan)


@case(
    "notice",
    "Hand it to these slots.",
    "Hand each notice of a `notices` record to the slots that it names, and to nobody else.",
)
async def notice(scene: Scene) -> None:
    """Notices to two users, one of them with two devices; nobody is bound to anything."""
    ann, bob, cid = await scene.begins("ann", "bob", "cid")
    tablet = await scene.connects("ann", "tablet")
    group = scene.group(0)
    await scene.notices(scene.notice(group, 7, "invited", ann, tablet), scene.notice(group, 1, "roles_given", bob))
    for client, number, kind in ((ann, 7, "invited"), (tablet, 7, "invited"), (bob, 1, "roles_given")):
        heard = await scene.hears(protocol.Noticed, client, f"`noticed` {kind} for {client.user}")
        if (heard.group, heard.number, heard.kind) != (group, number, kind):
            raise Wrong(f"notice {number}, {kind}, of {group!r} for {client.user}", f"{heard}")
    await read_on(scene, ann, bob, cid, tablet)


@case(
    "notice_order",
    "It has no number, and no order against lots",
    "Notices stand beside the numbered lots: they neither count nor reset anything, and wait for no binding.",
)
async def notice_order(scene: Scene) -> None:
    """Notices before, between and after lots, with a number that is below the last; one slot is gone."""
    (ann, bob) = await scene.begins("ann", "bob")
    group = scene.group(0)
    await scene.disconnects(bob)
    await scene.writes("sessions", "down", f"`down` of slot {bob.slot}", slot=bob.slot)
    await scene.notices(scene.notice(group, 9, "joined", ann))
    await scene.lot(0, scene.bound(group, ann), scene.message(group, 1))
    await scene.notices(scene.notice(group, 3, "muted", ann), scene.notice(group, 4, "muted", bob))
    await scene.lot(0, scene.message(group, 2))
    await scene.shows(group, ann, 1, 2)
    for number in (9, 3):
        heard = await scene.hears(protocol.Noticed, ann, f"notice {number} for ann")
        if heard.number != number:
            raise Wrong(f"notice {number} for ann", f"{heard}")
    await not_asked(scene)


@case(
    "notice_of_another_epoch",
    "A partition may have belonged to somebody else before.",
    "Compare link and epoch of `notices` as you do with lots.",
)
async def notice_of_another_epoch(scene: Scene) -> None:
    """Notices for the registration before, and for another link."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.notices(scene.notice(group, 1, "joined", ann), epoch=scene.epoch - 1)
    await scene.notices(scene.notice(group, 2, "joined", ann), link="another-link")
    await scene.notices(scene.notice(group, 3, "banned", ann))
    heard = await scene.hears(protocol.Noticed, ann, "notice 3 for ann")
    if heard.number != 3:  # noqa: PLR2004 - the number above
        raise Wrong("notice 3 for ann, and none before it", f"{heard}")
    await read_on(scene, ann)


async def read_on(scene: Scene, *clients: Client) -> None:
    """Everything until now was read, and these clients showed nothing but what was waited for."""
    group = scene.group(_OTHER, "end")
    await scene.lot(_OTHER, scene.bound(group, *clients), scene.message(group, 1))
    for client in clients:
        await scene.shows(group, client, 1)
    scene.shows_no_more(*clients)
