"""Write a gateway of Linkcast: links, sessions, deliveries and pulls, as the contract (docs/contract) has them.

`Link` lives on Kafka and tells a `Handler` what happens. `Views` pulls what a client lacks; `Timeline` says what it is.
`LinkState` has the rules about deliveries alone, without I/O.
"""

from linkcast_gateway.answers import Access, Changes, ChannelSeen, MemberOf, Members, Notices, RoleHeld
from linkcast_gateway.errors import (
    BadIdError,
    GatewayError,
    KafkaAwayError,
    NotRegisteredError,
    PullError,
    RefusedError,
    SlotsUsedUpError,
    StoppedError,
    UnansweredError,
    UnknownVersionError,
)
from linkcast_gateway.handler import Handler, Registration, Session
from linkcast_gateway.life import BEAT_MS, TIMEOUT_MS
from linkcast_gateway.link import BODY_BYTES, DEDUPE_WINDOW_MS, RESEND_MS, UNANSWERED, Link
from linkcast_gateway.state import LinkState
from linkcast_gateway.timeline import WAITING_MESSAGES, Timeline
from linkcast_gateway.views import PULL_MESSAGES, Page, Views
from linkcast_gateway.wire import (
    SCHEMA,
    Accepted,
    Answer,
    Applied,
    Changed,
    Group,
    Head,
    Message,
    Notice,
    Refused,
    Signal,
)

__all__ = [
    "BEAT_MS",
    "BODY_BYTES",
    "DEDUPE_WINDOW_MS",
    "PULL_MESSAGES",
    "RESEND_MS",
    "SCHEMA",
    "TIMEOUT_MS",
    "UNANSWERED",
    "WAITING_MESSAGES",
    "Accepted",
    "Access",
    "Answer",
    "Applied",
    "BadIdError",
    "Changed",
    "Changes",
    "ChannelSeen",
    "GatewayError",
    "Group",
    "Handler",
    "Head",
    "KafkaAwayError",
    "Link",
    "LinkState",
    "MemberOf",
    "Members",
    "Message",
    "NotRegisteredError",
    "Notice",
    "Notices",
    "Page",
    "PullError",
    "Refused",
    "RefusedError",
    "Registration",
    "RoleHeld",
    "Session",
    "Signal",
    "SlotsUsedUpError",
    "StoppedError",
    "Timeline",
    "UnansweredError",
    "UnknownVersionError",
    "Views",
]
