"""What views answer; the OpenAPI document is made from these. Fields may be added: ignore those you do not know."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from topics.entities import GroupKind, Profile
from topics.notices import Kept
from topics.presence import State
from topics.subscriptions import Joined, Wanted
from topics.wire import U32, Count, Id, Millis

#: Goes back into the request for the next page, as it is; null: this is the last one.
Next = Annotated[str, Meta(description="`cursor` of the next page; absent on the last one.")] | None
#: A session of a member, by the member's ordinal and the session's slot on its link.
Pair = tuple[U32, U32]


class ChannelHead(Struct, frozen=True):
    """How far a channel goes.

    Attributes:
        channel: its name.
        head: its newest seq; 0 if it has none.
        first: the oldest seq that can be pulled; 0 if there is none.
    """

    channel: Id
    head: Count
    first: Count


class GroupAnswer(Struct, frozen=True, omit_defaults=True):
    """A group.

    Attributes:
        app: its app.
        group: its id.
        kind: what kind of group.
        version: rises by one with each change of the group.
        members: how many there are.
        map: the version of its Link map.
        links: on how many links somebody listens.
        channels: how far those go that every member sees, if they are few; else ask for the channels.
        profile: what it says of itself.
        state: whether a change of it is under way, `computed`, or none is, `final`; answers are exact in both cases.
        owner: who may do everything.
        muted_until: nobody but holders of `mute` sends before this moment.
    """

    app: Id
    group: Id
    kind: GroupKind
    version: Count
    members: Count
    map: Count
    links: Count
    channels: list[ChannelHead]
    profile: Profile = Profile()
    state: Literal["computed", "final"] = "final"
    owner: Id | None = None
    muted_until: Millis = 0


class LinkCount(Struct, frozen=True):
    """A link that the group has listeners on.

    Attributes:
        link: the link.
        epoch: its registration.
        partition: its partition of `deliveries`.
        sessions: how many listen.
    """

    link: Id
    epoch: Count
    partition: U32
    sessions: Count


class LinkChange(Struct, frozen=True, omit_defaults=True):
    """What changed on one link, in sum. Applying it twice, or to a newer state, does no harm.

    Attributes:
        link: the link.
        epoch: its registration.
        ended: the registration is dead, and all its sessions with it.
        bound: sessions that listen and did not.
        unbound: sessions that listened and do so no more.
    """

    link: Id
    epoch: Count
    ended: bool = False
    bound: list[Pair] = []
    unbound: list[Pair] = []


class LinkMapAnswer(Struct, frozen=True, omit_defaults=True):
    """A group's Link map: on which links its sessions are, and what changed.

    Attributes:
        version: ask for what changes from here on with `since` set to this.
        at_ms: the newest time that it takes in, for who asks by time: with `changed_since_ms` set to this.
        links: every link with listeners.
        changes: what changed after `since`, or `changed_since_ms`; absent when neither was given, or that is too long
            ago: then forget what you held, and read the links' sessions anew.
    """

    version: Count
    at_ms: Count
    links: list[LinkCount]
    changes: list[LinkChange] | None = None


class SubscribersAnswer(Struct, frozen=True):
    """How many sessions subscribed to a channel.

    Attributes:
        version: the group's version.
        joined: what members' sessions hear of it without subscribing.
        messages: sessions that hear each message because they asked for it.
        unread_count: that are told how many there are.
        unread_status: that are told whether there are any.
        typing: that hear who types.
        visitors: sessions of users who are no members that hear each message.
    """

    version: Count
    joined: Joined
    messages: int
    unread_count: int
    unread_status: int
    typing: int
    visitors: int


class Listener(Struct, frozen=True):
    """A member who listens on a link.

    Attributes:
        ordinal: the member's number.
        user: who.
        slots: the member's sessions there.
    """

    ordinal: U32
    user: Id
    slots: list[U32]


class LinkSessionsAnswer(Struct, frozen=True, omit_defaults=True):
    """Some of a group's listeners on one link, by ordinal. A page may be short or empty: go on while there is `next`.

    Attributes:
        version: the Link map's version that this page is of. While it is paged through, the map may change: ask for
            the changes since the *first* page's version, and apply them.
        link: the link.
        epoch: its registration.
        members: those of this page.
        next: where the next page begins.
    """

    version: Count
    link: Id
    epoch: Count
    members: list[Listener]
    next: Next = None


class UserSession(Struct, frozen=True, omit_defaults=True):
    """A session of a user.

    Attributes:
        device: which device of the user.
        link: the link it is on.
        epoch: the link's registration.
        partition: the link's partition of `deliveries`.
        slot: the session's number on the link.
        platform: what kind of device it is.
        background: whether it is in the background.
        lost_until: its connection broke, and until then it may be resumed; 0: it is connected.
    """

    device: Id
    link: Id
    epoch: Count
    partition: U32
    slot: U32
    platform: str = ""
    background: bool = False
    lost_until: Millis = 0


class SessionsAnswer(Struct, frozen=True):
    """A user's sessions; none while the user is offline, or was never seen.

    Attributes:
        sessions: all of them, SESSIONS_PER_USER at most.
    """

    sessions: list[UserSession]


class SessionGroup(Struct, frozen=True):
    """What a session asked to hear of a group, as far as it was not told back that it is not in force.

    Attributes:
        group: the group.
        wanted: what of it.
    """

    group: Id
    wanted: list[Wanted]


class SessionAnswer(Struct, frozen=True, omit_defaults=True):
    """One session: what it subscribed to, by group, and whom it watches.

    Attributes:
        session: the session.
        groups: the groups of this page, by name.
        watches: the users that it watches, by name.
        next: where the next page begins.
    """

    session: UserSession
    groups: list[SessionGroup]
    watches: list[Id]
    next: Next = None


class PresenceAnswer(Struct, frozen=True):
    """How a user is to be found now.

    Attributes:
        state: `online`: with a session in the foreground; `background`: with sessions, none of them there; `offline`.
        status: the user's custom status.
        version: of what those who watch were last told.
        watchers: how many sessions watch the user.
    """

    state: State
    status: str
    version: Count
    watchers: Count


class UserGroup(Struct, frozen=True):
    """A group that a user is a member of.

    Attributes:
        group: which.
        ordinal: the user's number there.
    """

    group: Id
    ordinal: U32


class GroupsAnswer(Struct, frozen=True, omit_defaults=True):
    """Some groups of a user, by name.

    Attributes:
        groups: those of this page.
        next: where the next page begins.
    """

    groups: list[UserGroup]
    next: Next = None


class NoticesAnswer(Struct, frozen=True):
    """Some notices of a user's inbox, by number.

    Attributes:
        newest: the number of the newest notice; 0 if there never was one.
        first: notices numbered below are gone, for there were too many or they were too old: who knows less than the
            number before it has missed some.
        notices: those after `since`, the oldest first. Numbers are left out where a later notice stands for them.
        more: there are further ones: go on with `since` set to the last number of these.
    """

    newest: Count
    first: Count
    notices: list[Kept]
    more: bool


class LinkState(Struct, frozen=True):
    """A living registration of a link.

    Attributes:
        link: the link.
        epoch: its registration.
        partition: its partition of `deliveries`.
        address: where clients reach its gateway.
        region: where it stands.
        sessions: connections it held at its last beat; 0 for a moment after `links` got a new owner.
        silent_ms: for how long it was not heard; a link silent for longer than LINK_TIMEOUT_MS is void.
    """

    link: Id
    epoch: Count
    partition: U32
    address: str
    region: str
    sessions: Count
    silent_ms: Count


class LinksAnswer(Struct, frozen=True, omit_defaults=True):
    """Some living links of the cluster, by name.

    Attributes:
        count: how many live in all.
        most: how many can live at once.
        links: those of this page.
        next: where the next page begins.
    """

    count: Count
    most: Count
    links: list[LinkState]
    next: Next = None


class MessagesAnswer(Struct, frozen=True):
    """Some messages of a channel, by seq, without a hole.

    Attributes:
        messages: each as it was delivered: see `deliveries.json`.
        head: the channel's newest seq; 0 if it has none.
        first: the oldest seq that can be pulled; 0 if there is none.
        more: there are further ones in the direction asked.
    """

    messages: list[dict[str, Any]]
    head: Count
    first: Count
    more: bool
