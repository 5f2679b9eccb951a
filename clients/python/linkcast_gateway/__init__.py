"""Write a gateway of Linkcast: links, sessions, deliveries and pulls, as the contract (docs/contract) has them.

`Link` lives on Kafka and tells a `Handler` what happens; `Views` pulls what a client lacks; `LinkState` is the rules
about deliveries alone, without I/O.
"""

from linkcast_gateway.link import (
    BEAT_MS,
    BODY_BYTES,
    TIMEOUT_MS,
    Handler,
    Link,
    NotRegisteredError,
    Registration,
    Session,
)
from linkcast_gateway.state import LinkState
from linkcast_gateway.views import PullError, Views
from linkcast_gateway.wire import Accepted, Answer, Applied, Group, Head, Message, Refused, Signal

__all__ = [
    "BEAT_MS",
    "BODY_BYTES",
    "TIMEOUT_MS",
    "Accepted",
    "Answer",
    "Applied",
    "Group",
    "Handler",
    "Head",
    "Link",
    "LinkState",
    "Message",
    "NotRegisteredError",
    "PullError",
    "Refused",
    "Registration",
    "Session",
    "Signal",
    "Views",
]
