"""What a gateway is told: the calls of a `Link`, to be overridden where they matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from linkcast_gateway.errors import GatewayError
from linkcast_gateway.wire import (
    Answer,
    Changed,
    Group,
    Head,
    Message,
    Notice,
    Presence,
    Resumed,
    Signal,
    Subscribed,
    Unread,
)

#: Why a session ends of which Kafka lost what it said of itself; with another reason it ends for good.
UNSAID: Final = "unsaid"


@dataclass(frozen=True, slots=True)
class Registration:
    """What the answer to a registration gives.

    Attributes:
        epoch: names this registration.
        partition: of `deliveries`, that this link alone reads.
        partitions: how many the pipeline's topics have.
    """

    epoch: int
    partition: int
    partitions: int


@dataclass(frozen=True, slots=True)
class Place:
    """Names a session for everybody; what a client keeps to resume it.

    Attributes:
        link: the link that holds its connection.
        epoch: that link's registration.
        slot: its number there.
    """

    link: str
    epoch: int
    slot: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """One thing that a session asks to hear.

    Attributes:
        group: of which group.
        level: `messages`, `unread_count`, `unread_status` or `typing` of a channel, or `server`: what of it changes.
        channel: of which channel; None for `server`.
    """

    group: str
    level: str
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One connection of one device of one user.

    Attributes:
        slot: its number; never used again within the epoch.
        app: the app that the user belongs to.
        user: whose connection it is.
        device: which of the user's devices.
    """

    slot: int
    app: str
    user: str
    device: str


class Handler:
    """Hears what happens on a link. Calls come one at a time and in order; they must be quick and must not raise.

    A handler that can't keep up says so by `room`: nothing is read while it waits there.
    """

    async def room(self) -> None:
        """Return when there is room for more; the next records are read after it. Kafka keeps them meanwhile."""

    def on_registered(self, registration: Registration) -> None:
        """The link lives; sessions may be opened."""

    def on_void(self) -> None:
        """The registration is dead, and every session with it: close the connections. The next one begins by itself."""

    def on_failed(self, error: GatewayError) -> None:
        """The link has given up, and does not begin again: `error` says why. The registration was void before."""

    def on_live(self, group: Group, slots: Sequence[int], heads: Sequence[tuple[str, int]]) -> None:
        """These sessions hear the group from here on; each pulls what it lacks up to the heads (channel, seq)."""

    def on_gone(self, group: Group, slots: Sequence[int]) -> None:
        """These sessions hear the group no more."""

    def on_forgotten(self, source: int, bindings: Mapping[Group, Sequence[int]]) -> None:
        """A source lost us and begins anew: these are not live until `on_live` says so again."""

    def on_missed(self, group: Group, slots: Sequence[int]) -> None:
        """These, who are no members, may have missed something of the group: each pulls what it shows."""

    def on_drive(self, group: Group, joined: str, slots: Sequence[int]) -> None:
        """What these sessions hear of the group's channels unasked: `messages`, `unread_count` or `none`.

        Called before each `on_live`, and when it changes. Where it is not `messages`, a client subscribes to what it
        shows.
        """

    def on_ground(self, slots: Sequence[int], *, background: bool) -> None:
        """These sessions hear notices in place of messages from here on, or messages again.

        Then each pulls what it shows. It is told for some groups at a time, so several times for one change.
        """

    def on_message(self, group: Group, message: Message, slots: Sequence[int]) -> None:
        """One message and all sessions that hear it; called once a message, whatever their number."""

    def on_unread(self, group: Group, unread: Unread, slots: Sequence[int]) -> None:
        """There are new messages in a channel, up to `unread.seq`, for sessions that do not hear them themselves."""

    def on_mention(self, message: Message, slots: Sequence[int]) -> None:
        """A message mentions the user of these sessions. It comes by `on_message` as well to those who hear that."""

    def on_signal(self, group: Group, signal: Signal, slots: Sequence[int]) -> None:
        """One signal and all sessions that hear it."""

    def on_head(self, group: Group, head: Head, slots: Sequence[int]) -> None:
        """A channel went quiet: a session that holds less than `head.seq` pulls."""

    def on_changed(self, group: Group, changed: Changed, slots: Sequence[int]) -> None:
        """The group changed for these sessions: whoever shows what `changed.what` names pulls it; see `Views`."""

    def on_notice(self, app: str, user: str, notice: Notice, slots: Sequence[int]) -> None:
        """Something happened that this user took part in. It is in the user's inbox as well: this is a hint."""

    def on_answer(self, slot: int, answer: Answer) -> None:
        """A send or command of this session was accepted, applied or refused, and nobody here waits for it."""

    def on_subscribed(self, slot: int, subscribed: Subscribed) -> None:
        """What a session hears of a group because it asked for it, and what it asked for in vain.

        Its first pull of a channel in `subscribed.heads` begins now.
        """

    def on_resumed(self, resumed: Resumed) -> None:
        """A session goes on, and pulls what it missed; with its slot kept nothing else is told, see `Link.groups_of`.

        Where it is not `known` it began anew: it subscribes again.
        """

    def on_ended(self, slot: int, why: str) -> None:
        """A session has ended: close its connection.

        For good, if another session of the user ended it: `replaced` or `kicked`. UNSAID, if Kafka was away for so long
        that what the session said of itself was lost: the client may come again.
        """

    def on_presence(self, app: str, users: Sequence[Presence], slots: Sequence[int]) -> None:
        """How users are to be found, for these sessions that watch them. Of two the higher version counts."""
