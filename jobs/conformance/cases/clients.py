"""What clients send and show: sends and their answers, seqs and gaps, pulls."""

from __future__ import annotations

import time
from typing import Final

from jobs.conformance import protocol
from jobs.conformance.case import case
from jobs.conformance.scene import Client, Scene, Wrong
from topics import limits

#: How long a client may wait before it sends again: "a few seconds".
_RESEND_S: Final = 15.0


@case(
    "send",
    "`send`, keyed `app:group`. `reply` says where the answer goes",
    "Name sender, device, client_id, tried_at, and a `reply` of your registration and the session's slot.",
)
async def send(scene: Scene) -> None:
    """A message with a body that must not be touched."""
    (ann,) = await scene.begins("ann")
    group = scene.group(2)
    await scene.lot(2, scene.bound(group, ann))
    await scene.live(group, ann)
    body = {"text": 'Grüße \u2028 \\ / "', "n": 42, "deep": [[], {}, None, 1.5]}
    await scene.sends(ann, group, "c-1", body)
    sent = (await scene.writes("messages", "send", "`send` with client_id c-1", client_id="c-1")).value or {}
    reply = {"t": "session", "link": scene.link, "epoch": scene.epoch, "partition": scene.partition, "slot": ann.slot}
    wanted = {"app": scene.app, "group": group, "sender": "ann", "device": "phone", "reply": reply, "body": body}
    for name, value in wanted.items():
        if sent.get(name) != value:
            raise Wrong(f"`{name}` {value}", f"{sent.get(name)}")
    if abs(time.time_ns() // 1_000_000 - sent["tried_at"]) > limits.CLOCK_SKEW_MS:
        raise Wrong("`tried_at` in milliseconds since 1970, about now", f"{sent['tried_at']}")


@case(
    "answers",
    "The answer for the session `slot`.",
    "Route an answer by its slot, not by its client_id: clients choose these, and may choose the same.",
)
async def answers(scene: Scene) -> None:
    """Two clients sent under one client_id; one is refused."""
    ann, bob = await scene.begins("ann", "bob")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann, bob))
    await scene.live(group, ann, bob)
    for client in (ann, bob):
        await scene.sends(client, group, "same", "hi")
        await scene.writes("messages", "send", f"`send` of {client.user}", sender=client.user)
    named = {"app": scene.app, "group": group, "client_id": "same"}
    refused = {"t": "refused", "code": "not_a_member", **named, "slot": ann.slot}
    accepted = {"t": "accepted", **named, "channel": "main", "seq": 1, "at": 1, "slot": bob.slot}
    own = scene.message(group, 1, f="bob", d="phone", i="same")
    await scene.lot(0, accepted, refused, own)
    heard = await scene.hears(protocol.Refused, ann, "`refused` for ann")
    if (heard.client_id, heard.code) != ("same", "not_a_member"):
        raise Wrong("client_id same, code not_a_member for ann", f"{heard}")
    told = await scene.hears(protocol.Accepted, bob, "`accepted` for bob")
    if (told.client_id, told.seq) != ("same", 1):
        raise Wrong("client_id same, seq 1 for bob", f"{told}")
    await scene.shows(group, ann, 1)
    await scene.shows(group, bob, 1)
    for client, wrong in ((ann, protocol.Accepted), (bob, protocol.Refused)):
        if strange := [event for event in scene.gateway.seen_of(client.number) if isinstance(event, wrong)]:
            raise Wrong(f"one answer for {client.user}", f"also {strange[0]}")


@case(
    "refused",
    "The answer is `accepted` with the seq, or `refused` with a code.",
    "Pass on the code as it is, also one that you do not know: clients show it, or act on it.",
)
async def refused(scene: Scene) -> None:
    """Codes of what relations forbid, and one that came later."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann))
    await scene.live(group, ann)
    for code in ("not_visible", "muted", "not_permitted", "came_later"):
        await scene.sends(ann, group, f"c-{code}", "hi")
        await scene.writes("messages", "send", f"`send` with client_id c-{code}", client_id=f"c-{code}")
        answer = {"t": "refused", "code": code, "app": scene.app, "group": group, "client_id": f"c-{code}"}
        await scene.lot(0, {**answer, "limit": 1_767_225_600_000, "slot": ann.slot})
        heard = await scene.hears(protocol.Refused, ann, f"`refused` with {code} for ann")
        if (heard.client_id, heard.code) != (f"c-{code}", code):
            raise Wrong(f"client_id c-{code}, code {code}", f"{heard}")
    scene.shows_no_more(ann)


@case(
    "resend",
    "No answer after a few seconds: send the same again, with the same `client_id` *and* the same `tried_at`.",
    "Keep what is not answered, with its client_id and the moment of the first try, and send it again unchanged.",
)
async def resend(scene: Scene) -> None:
    """The first send is not answered; the second one was accepted before."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann))
    await scene.live(group, ann)
    await scene.sends(ann, group, "c-1", {"text": "hi"})
    first = (await scene.writes("messages", "send", "`send` with client_id c-1", client_id="c-1")).value or {}
    again = await scene.writes("messages", "send", "the same `send` again", within_s=_RESEND_S, client_id="c-1")
    second = again.value or {}
    for name in ("tried_at", "group", "sender", "device", "body", "reply"):
        if first.get(name) != second.get(name):
            raise Wrong(f"`{name}` {first.get(name)} in the resend too", f"{second.get(name)}")
    answer = {"t": "accepted", "app": scene.app, "group": group, "channel": "main", "client_id": "c-1", "seq": 1}
    own = scene.message(group, 1, f="ann", d="phone", i="c-1", b={"text": "hi"})
    await scene.lot(0, own, {**answer, "at": 1, "again": True, "slot": ann.slot})
    told = await scene.hears(protocol.Accepted, ann, "`accepted` for ann")
    if told.seq != 1:
        raise Wrong("seq 1, that of the first try", f"seq {told.seq}")
    await scene.lot(0, scene.message(group, 2))
    await scene.shows(group, ann, 1, 2)


@case(
    "gap",
    "else there is a hole between `last` and `seq`.",
    "Compare `prev` with the newest seq that the client has; pull what lies between, and show it in order.",
)
async def gap(scene: Scene) -> None:
    """A message is lost between two others."""
    ann = await _reader(scene)
    group = scene.group(0)
    await scene.lot(0, scene.message(group, 1))
    for seq in (2, 3):
        scene.message(group, seq)
    await scene.lot(0, scene.message(group, 4))
    await scene.lot(0, scene.message(group, 5))
    await scene.shows(group, ann, 1, 2, 3, 4, 5)
    await scene.lot(0, scene.message(group, 6))
    await scene.shows(group, ann, 6)
    scene.shows_no_more(ann)


@case(
    "known_message",
    "`seq` ≤ `last`: known already. Drop it.",
    "Drop a message that the client has: pushes and pulls overlap.",
)
async def known_message(scene: Scene) -> None:
    """Messages come again in later lots, as they do around a resync."""
    ann = await _reader(scene)
    group = scene.group(0)
    first, second = scene.message(group, 1), scene.message(group, 2)
    await scene.lot(0, first, second)
    await scene.lot(0, second, first)
    await scene.lot(0, scene.message(group, 3))
    await scene.shows(group, ann, 1, 2, 3)
    scene.shows_no_more(ann)


@case(
    "sparse_seqs",
    "Compare with `prev`; do not assume `prev + 1 = seq`.",
    "A seq that is skipped is no hole as long as `prev` is what the client has: do not pull.",
)
async def sparse_seqs(scene: Scene) -> None:
    """Seqs that this client never sees lie between."""
    ann = await _reader(scene)
    group = scene.group(0)
    await scene.lot(0, scene.message(group, 1))
    await scene.shows(group, ann, 1)
    pulls = len(scene.history.pulls)
    await scene.lot(0, scene.message(group, 4, prev=1))
    await scene.lot(0, scene.message(group, 9, prev=4))
    await scene.shows(group, ann, 4, 9)
    if more := scene.history.pulls[pulls:]:
        raise Wrong("no pull: there is no hole", f"a pull of {more[0][0]!r} with {more[0][1]}")


@case(
    "head",
    "announces its `head` once. A client that holds less pulls.",
    "On `head` compare with the newest seq that the client has, and pull what is above it.",
)
async def head(scene: Scene) -> None:
    """The last message of a channel is lost."""
    ann = await _reader(scene)
    group = scene.group(0)
    await scene.lot(0, scene.message(group, 1))
    scene.message(group, 2)
    await scene.lot(0, scene.head(group, 2))
    await scene.shows(group, ann, 1, 2)
    await scene.lot(0, scene.head(group, 2), scene.message(group, 3))
    await scene.shows(group, ann, 3)


@case(
    "live_then_pull",
    "A client's first pull begins after its gateway read the `bound` for it.",
    "Begin to pull when `bound` is read, up to its `heads`; what is pushed meanwhile is merged by seq.",
)
async def live_then_pull(scene: Scene) -> None:
    """There were messages before the client came, and one comes with its binding."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    before = [scene.message(group, seq) for seq in (1, 2, 3)]
    if scene.history.pulls:
        raise Wrong("no pull before `bound`", f"a pull with {scene.history.pulls[0][1]}")
    await scene.lot(0, scene.bound(group, ann, head=len(before)), scene.message(group, 4))
    await scene.live(group, ann)
    await scene.shows(group, ann, 1, 2, 3, 4)


@case(
    "not_stored_yet",
    "what is not readable yet is refused as `not_stored_yet`. Ask again soon.",
    "A pull that is refused with 503 is asked again after a short while, until it is answered.",
)
async def not_stored_yet(scene: Scene) -> None:
    """The first pulls are refused."""
    ann = await _reader(scene)
    group = scene.group(0)
    await scene.lot(0, scene.message(group, 1))
    await scene.shows(group, ann, 1)
    scene.history.refusals.extend([(503, "not_stored_yet")] * 2)
    scene.message(group, 2)
    await scene.lot(0, scene.message(group, 3))
    await scene.shows(group, ann, 2, 3)


async def _reader(scene: Scene) -> Client:
    """One client who hears a group."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann))
    await scene.live(group, ann)
    return ann
