"""How sessions are lost, go on, and end from elsewhere; and who is online."""

from __future__ import annotations

from typing import Any

from jobs.conformance import protocol
from jobs.conformance.case import case
from jobs.conformance.scene import Client, Scene, Wrong


@case(
    "lost",
    "Write `lost` for it, not `down`, where the client may come again.",
    "A connection that breaks without a word is `lost`; `down` is for a client that said good-bye.",
)
async def lost(scene: Scene) -> None:
    """One client's connection breaks, another one says good-bye."""
    ann, bob = await scene.begins("ann", "bob")
    await scene.loses(ann)
    await scene.disconnects(bob)
    await scene.writes("sessions", "down", f"`down` of slot {bob.slot}", slot=bob.slot)
    if scene.written("sessions", "down", slot=ann.slot):
        raise Wrong("`lost` alone for ann", "`down` as well")


@case(
    "resume",
    "It was a session of yours, in this epoch, and you still hold its slot: give it *the same slot*.",
    "Keep the slot of a lost session, and its bindings: it goes on hearing with nothing but `resumed`.",
)
async def resume(scene: Scene) -> None:
    """A client is lost and comes again; a message came meanwhile, and one comes later."""
    ann, bob = await scene.begins("ann", "bob")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann, bob), scene.message(group, 1))
    await scene.shows(group, ann, 1)
    await scene.loses(ann)
    await scene.lot(0, scene.message(group, 2))
    await scene.shows(group, bob, 1, 2)
    number, record = await scene.resumes(ann)
    _check_was(scene, record.value or {}, ann, scene.epoch)
    if (slot := (record.value or {}).get("slot")) != ann.slot:
        raise Wrong(f"slot {ann.slot}, as before", f"slot {slot}")
    again = Client(number, ann.user, ann.device, ann.slot)
    await _tell_resumed(scene, again, known=True)
    await scene.lot(0, scene.message(group, 3))
    heard = await scene.hears(protocol.Message, again, "ann shows what came meanwhile, and what comes now")
    if heard.seq != 1:  # a client that kept what it had need not pull it again
        await _shows_up_to(scene, group, again, heard.seq)
    else:
        await scene.shows(group, again, 2, 3)


@case(
    "resume_elsewhere",
    "Anywhere else: give it a new slot, as for `up`.",
    "After a void no slot is yours any more: a client that comes again gets a new one, and `was` names the old epoch.",
)
async def resume_elsewhere(scene: Scene) -> None:
    """The link dies and registers anew; its client comes again."""
    (ann,) = await scene.begins("ann")
    before = scene.epoch
    await scene.void(scene.epoch)
    await scene.hears(protocol.Closed, ann, "`closed` for ann")
    await scene.registers()
    number, record = await scene.resumes(ann)
    value = record.value or {}
    _check_was(scene, value, ann, before)
    if (value.get("epoch"), value.get("partition")) != (scene.epoch, scene.partition):
        raise Wrong(f"epoch {scene.epoch}, partition {scene.partition}", f"{value}")
    again = scene.client(number, record)
    await _tell_resumed(scene, again, known=True)
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, again), scene.message(group, 1))
    await scene.live(group, again)
    await scene.shows(group, again, 1)


@case(
    "resume_unknown",
    "`resumed` says whether the session was still `known`.",
    "Tell the client whether it goes on: one that does not has to subscribe again.",
)
async def resume_unknown(scene: Scene) -> None:
    """A client comes again too late."""
    (ann,) = await scene.begins("ann")
    await scene.loses(ann)
    number, record = await scene.resumes(ann)
    await _tell_resumed(scene, scene.client(number, record), known=False)


@case(
    "ended",
    "Close the connection, and tell the client to stay away.",
    "On `ended` close the connection of that slot with the reason, so that the client does not come again by itself.",
)
async def ended(scene: Scene) -> None:
    """One of two sessions is replaced; a record of another epoch names the other one."""
    ann, bob = await scene.begins("ann", "bob")
    await scene.tells({"t": "ended", "slot": bob.slot, "why": "replaced"}, epoch=scene.epoch - 1)
    await scene.tells({"t": "ended", "slot": ann.slot, "why": "replaced"})
    closed = await scene.hears(protocol.Closed, ann, "`closed` for ann, as it was replaced")
    if closed.why != "replaced":
        raise Wrong("`closed` with the reason `replaced`", f"{closed}")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, bob), scene.message(group, 1))
    await scene.shows(group, bob, 1)


@case(
    "presence",
    "`presence`, in records `sessions`, tells `slots` how `users` are to be found",
    "Write `watch` for whom a client shows, and hand each `presence` to the slots that it names.",
)
async def presence(scene: Scene) -> None:
    """One of two clients watches two users."""
    ann, bob = await scene.begins("ann", "bob")
    await scene.tell(protocol.Watch(ann.number, ["cid", "dan"]))
    named: dict[str, Any] = {"slot": ann.slot, "epoch": scene.epoch}
    record = await scene.writes("sessions", "watch", "`watch` of ann for cid and dan", **named)
    if sorted((record.value or {}).get("users", ())) != ["cid", "dan"]:
        raise Wrong("`watch` of cid and dan", f"{record.value}")
    users: list[dict[str, Any]] = [
        {"user": "cid", "state": "online", "version": 3},
        {"user": "dan", "state": "background", "status": "out"},
    ]
    await scene.tells({"t": "presence", "app": scene.app, "slots": [ann.slot], "users": users})
    for user in users:
        heard = await scene.hears(protocol.Present, ann, f"`presence` of {user['user']} for ann")
        if (heard.user, heard.state, heard.status) != (user["user"], user["state"], user.get("status", "")):
            raise Wrong(f"{user}", f"{heard}")
    await scene.tells(
        {"t": "presence", "app": scene.app, "slots": [bob.slot], "users": [{"user": "eve", "state": "online"}]}
    )
    heard = await scene.hears(protocol.Present, bob, "`presence` of eve for bob")
    if heard.user != "eve":  # told after the others: who heard these heard them before
        raise Wrong("eve, and nobody else", f"{heard}")
    scene.shows_no_more(ann, bob)


def _check_was(scene: Scene, value: dict[str, Any], client: Client, epoch: int) -> None:
    was = {"link": scene.link, "epoch": epoch, "slot": client.slot}
    if value.get("was") != was:
        raise Wrong(f"`was` {was}", f"{value.get('was')}")


async def _tell_resumed(scene: Scene, client: Client, *, known: bool) -> None:
    await scene.tells({"t": "resumed", "slot": client.slot, "known": known, "inbox": 0})
    heard = await scene.hears(protocol.Resumed, client, f"`resumed` for {client.user}")
    if heard.known is not known:
        raise Wrong(f"`known` {known}", f"{heard}")


async def _shows_up_to(scene: Scene, group: str, client: Client, seq: int) -> None:
    if seq not in {2, 3}:
        raise Wrong("message 2 next", f"message {seq}")
    await scene.shows(group, client, *range(seq + 1, 4))
