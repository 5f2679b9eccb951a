"""What a gateway is told: the calls of a `Link`, to be overridden where they matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from linkcast_gateway.errors import GatewayError
from linkcast_gateway.wire import Answer, Changed, Group, Head, Message, Notice, Signal


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

    def on_message(self, group: Group, message: Message, slots: Sequence[int]) -> None:
        """One message and all sessions that hear it; called once a message, whatever their number."""

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
