"""`links`: gateways' long-connection nodes register and beat. `link-voids`: the death of a registration.

The epoch of a registration is the offset of its `register` record: epochs of all links are ordered, without a clock.
"""

from __future__ import annotations

from topics.versions import FIRST, LinksVersion
from topics.wire import Count, Id, Wire


class Register(Wire, tag="register", frozen=True):
    """A link asks for an epoch and a partition of `deliveries`; answered on `answers`, keyed by `requester`.

    Attributes:
        link: the link's id, chosen by whoever runs it.
        requester: who waits for the answer; one fresh id a registration, so that no old answer is taken for it.
        address: where clients reach the gateway; opaque.
        region: where it stands; opaque.
    """

    link: Id
    requester: Id
    address: str = ""
    region: str = ""
    v: LinksVersion = FIRST


class Beat(Wire, tag="beat", frozen=True):
    """A registered link lives.

    Attributes:
        link: the link.
        epoch: its registration; a beat of an older one is ignored.
        sessions: connections it holds now.
    """

    link: Id
    epoch: Count
    sessions: Count = 0
    v: LinksVersion = FIRST


class Leave(Wire, tag="leave", frozen=True):
    """A link shuts down on purpose: void at once, without the time-out."""

    link: Id
    epoch: Count
    v: LinksVersion = FIRST


class Clock(Wire, tag="clock", frozen=True):
    """Written by the owner of `links`, so that the topic's append time goes on when every link is silent."""

    v: LinksVersion = FIRST


class Void(Wire, tag="void", frozen=True):
    """Every registration of `link` up to `epoch` is dead, with all its sessions.

    Told to every partition of the groups and users roles, which from then on refuse binds of those epochs, and to the
    link's own partition of `deliveries`: a gateway that reads its own void closes its connections and registers anew.
    """

    link: Id
    epoch: Count
    v: LinksVersion = FIRST


LinkRecord = Register | Beat | Leave | Clock
