"""A link's life and its sessions: what stands in the contract under "A link's life" and "Sessions"."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from jobs.conformance import protocol
from jobs.conformance.case import case
from jobs.conformance.scene import START_S, Scene, Wrong
from topics import limits

_BEATS: Final = 7
_WAIT_MS: Final = 1_000
_CLOCKS_MS: Final = 200  # the gateway's clock and the broker's


@case(
    "register",
    "Wait for the entry with your `requester`.",
    "Read the partition of `answers` that your requester hashes to, and take epoch and partition from your own entry.",
)
async def register(scene: Scene) -> None:
    """An answer for somebody else stands before its own, in the same record."""
    foreign = {"t": "registered", "link": "somebody", "epoch": 1 << 40, "partition": 0, "partitions": 1}
    await scene.registers({"requester": "somebody-else", "answer": foreign})
    beat = await scene.writes("links", "beat", f"`beat` of epoch {scene.epoch}, the offset of your `register`")
    if (beat.value or {})["epoch"] != scene.epoch:
        raise Wrong(f"beats of epoch {scene.epoch}", f"{beat.raw.decode()}")


@case(
    "register_again",
    "All five within half of `LINK_TIMEOUT_MS`, else begin again",
    "Give up waiting after half of LINK_TIMEOUT_MS, and register under a new requester.",
)
async def register_again(scene: Scene) -> None:
    """Nobody answers the first registration."""
    first = await scene.writes("links", "register", "a registration of the link", within_s=START_S)
    patience_s = limits.LINK_TIMEOUT_MS / 1000 + scene.patience_s
    second = await scene.registers(within_s=patience_s)
    if (first.value or {})["requester"] == (second.value or {})["requester"]:
        raise Wrong("another `requester` for another registration", f"the same one twice: {second.raw.decode()}")
    await scene.connects("ann")


@case(
    "refused_registration",
    "`refused` with `no_free_partition`: wait a second, begin again.",
    "A refused registration is over. Wait, and register anew; do not end, do not use what you had before.",
)
async def refused_registration(scene: Scene) -> None:
    """The first registration is refused."""
    first = await scene.writes("links", "register", "a registration of the link", within_s=START_S)
    await scene.answers(first, scene.to(first, {"t": "refused", "code": "no_free_partition"}))
    second = await scene.registers(within_s=_WAIT_MS / 1000 + scene.patience_s)
    if (waited_ms := second.at_ms - first.at_ms) < _WAIT_MS - _CLOCKS_MS:
        raise Wrong("a registration a second after the refusal", f"one after {waited_ms} ms")
    await scene.connects("ann")


@case(
    "position",
    "Find the end of *your* partition of `deliveries` and read from there. Only then announce sessions.",
    "Seek to the end of your partition, wait until you know where that is, and only then write the first `up`.",
)
async def position(scene: Scene) -> None:
    """A client waits to be let in; its binding is written as soon as it is announced; before it lies something old."""
    group = scene.group(0)
    number = await scene.asks_in("ann")
    record = await scene.writes("links", "register", "a registration of the link", within_s=START_S)
    scene.accept(record)
    old = {"t": "bound", "app": scene.app, "group": group, "map": 1, "ordinals": [0, 1], "slots": [0, 1]}
    await scene.lot(0, old, scene.bait(group), number=1)
    await scene.confirm(record)
    client = scene.client(number, await scene.comes_up("ann"))
    await scene.lot(0, scene.bound(group, client), scene.message(group, 1), number=1)
    await scene.live(group, client)
    await scene.shows(group, client, 1)


@case(
    "beat",
    "**Beat** every `LINK_BEAT_MS`, with the number of your sessions.",
    "Write a beat every second from a task of its own, whatever else the gateway is doing.",
)
async def beat(scene: Scene) -> None:
    """Some beats in a row, judged by the broker's clock; then one that counts the sessions."""
    await scene.registers()
    expected = f"`beat` of epoch {scene.epoch}"
    beats = [await scene.writes("links", "beat", expected, epoch=scene.epoch) for _ in range(_BEATS)]
    *_, long_ms, _ = sorted(after.at_ms - before.at_ms for before, after in pairwise(beats))  # one may be the machine's
    if long_ms > limits.LINK_TIMEOUT_MS / 2:
        raise Wrong(f"a beat every {limits.LINK_BEAT_MS} ms", f"{long_ms} ms between two, and more between others")
    for user in ("ann", "bob"):
        await scene.connects(user)
    await scene.writes("links", "beat", "`beat` with `sessions` 2", epoch=scene.epoch, sessions=2)


@case(
    "void",
    "this registration is dead, and all its sessions. Close every connection and register anew.",
    "On a void of your epoch close all clients' connections, forget all state, and begin with a new registration.",
)
async def void(scene: Scene) -> None:
    """A void; then a new registration that knows nothing of the one before."""
    first = await scene.registers()
    before = [await scene.connects(user) for user in ("ann", "bob")]
    await scene.lot(0, scene.bound(scene.group(0), *before))
    await scene.live(scene.group(0), *before)
    await scene.void(scene.epoch)
    for client in before:
        await scene.hears(protocol.Closed, client, f"{client.user}'s connection is closed")
    second = await scene.registers()
    if (first.value or {})["requester"] == (second.value or {})["requester"]:
        raise Wrong("another `requester` for another registration", f"the same one twice: {second.raw.decode()}")
    (after,) = [await scene.connects("ann", "tablet")]
    await scene.lot(0, scene.bound(scene.group(0), after), scene.message(scene.group(0), 1))
    await scene.live(scene.group(0), after)
    await scene.shows(scene.group(0), after, 1)


@case(
    "void_of_a_later_epoch",
    "with your link and your epoch or a later one, means: this registration is dead",
    "Compare with greater or equal: somebody has registered your link after you.",
)
async def void_of_a_later_epoch(scene: Scene) -> None:
    """A void of an epoch that came after its own."""
    (ann,) = await scene.begins("ann")
    await scene.void(scene.epoch + 1)
    await scene.hears(protocol.Closed, ann, "ann's connection is closed")
    await scene.registers()


@case(
    "foreign_void",
    "Ignore voids of lower epochs and of other links.",
    "Compare link and epoch before you act on a void: it may be meant for who had this partition before.",
)
async def foreign_void(scene: Scene) -> None:
    """Voids of an older registration, and of another link."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann))
    await scene.void(scene.epoch - 1)
    await scene.void(scene.epoch + 7, link="another-link")
    await scene.lot(0, scene.message(group, 1))
    await scene.shows(group, ann, 1)
    if again := scene.written("links", "register"):
        raise Wrong("the registration lives on", again[0].raw.decode())


@case(
    "leave",
    "**Leave** when you shut down: your sessions end at once, without the time-out.",
    "On shutdown write `leave` with your epoch as the last record, wait until it is sent, then end.",
)
async def leave(scene: Scene) -> None:
    """An orderly shutdown."""
    (ann,) = await scene.begins("ann")
    await scene.stops()
    left = await scene.writes("links", "leave", f"`leave` of epoch {scene.epoch}", epoch=scene.epoch)
    if (status := await scene.ends()) != 0:
        raise Wrong("the program ends with status 0", f"status {status}")
    after = [record for record in scene.inbox.records if record.topic == "links" and record.offset > left.offset]
    if after:
        raise Wrong("nothing on `links` after `leave`", after[0].raw.decode())
    await scene.hears(protocol.Closed, ann, "ann's connection is closed")


@case(
    "session_up",
    "Write `up` for each connection when you know who it is, `down` when it ends, both keyed `app:user`.",
    "Name app, user, device, and the registration's link, epoch and partition, under the user's key.",
)
async def session_up(scene: Scene) -> None:
    """Two devices of one user, and another user."""
    await scene.registers()
    for user, device in (("ann", "phone"), ("ann", "laptop"), ("bob", "phone")):
        await scene.asks_in(user, device)
        up = (await scene.comes_up(user, device)).value or {}
        address = {"app": scene.app, "link": scene.link, "epoch": scene.epoch, "partition": scene.partition}
        if (seen := {name: up.get(name) for name in address}) != address:
            raise Wrong(f"{address} in `up`", f"{seen}")


@case(
    "session_down",
    "A `down` names (link, epoch, slot)",
    "When a connection ends, write `down` with the slot that its `up` had.",
)
async def session_down(scene: Scene) -> None:
    """One of two connections of a user ends."""
    await scene.registers()
    phone, laptop = [await scene.connects("ann", device) for device in ("phone", "laptop")]
    await scene.disconnects(phone)
    named: dict[str, Any] = {"app": scene.app, "link": scene.link, "epoch": scene.epoch}
    expected = f"`down` of epoch {scene.epoch}, slot {phone.slot} for ann"
    await scene.writes("sessions", "down", expected, user="ann", slot=phone.slot, **named)
    if wrong := scene.written("sessions", "down", slot=laptop.slot):
        raise Wrong("the other connection stays", wrong[0].raw.decode())


@case(
    "slots",
    "a number from 0 to 2^32 - 1 that you never use again within the epoch",
    "Count slots up from 0; never give one away again before the next registration.",
)
async def slots(scene: Scene) -> None:
    """Connections come and go; no slot comes twice."""
    await scene.registers()
    seen: set[int] = set()
    for number in range(4):
        client = await scene.connects("ann", f"device{number}")
        if client.slot in seen:
            raise Wrong("a slot that was not used before", f"slot {client.slot} again")
        seen.add(client.slot)
        if number % 2:
            await scene.disconnects(client)
            await scene.writes("sessions", "down", f"`down` of slot {client.slot}", slot=client.slot)


@case(
    "broker_restart",
    "an outage of the broker kills no link: keep trying",
    "Let the Kafka client reconnect; keep the registration, the connections and the position, and go on beating.",
    restarts=True,
)
async def broker_restart(scene: Scene) -> None:
    """The broker is stopped for a while."""
    (ann,) = await scene.begins("ann")
    group = scene.group(0)
    await scene.lot(0, scene.bound(group, ann), scene.message(group, 1))
    await scene.shows(group, ann, 1)
    if scene.restart is not None:
        await scene.restart()
    for _ in range(len(scene.written("links", "beat")) + 1):
        await scene.writes("links", "beat", "beats go on", within_s=START_S, epoch=scene.epoch)
    await scene.lot(0, scene.message(group, 2))
    await scene.shows(group, ann, 2)
    await scene.sends(ann, group, "c1", {"text": "still here"})
    await scene.writes("messages", "send", "a send after the restart", client_id="c1")
    if again := scene.written("links", "register"):
        raise Wrong("the registration lives on", again[0].raw.decode())
