"""What a group consists of, as commands, events and views name it: channels, categories, roles, lists, permissions."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from topics import limits
from topics.wire import Count, Id, Millis

#: `server` (channels, categories, roles), `team` (one implicit channel), `direct` (two users, for good), `room` (one
#: implicit channel, for whoever is in it now).
GroupKind = Literal["server", "team", "direct", "room"]
#: Who becomes a member of its own accord: anybody; whoever's application was approved; only whom somebody lets in.
JoinMode = Literal["open", "apply", "invite"]
ChannelKind = Literal["text", "voice", "custom"]
#: `public`: members see it but for those on the black list; `private`: only those on the white list do.
ViewMode = Literal["public", "private"]
#: Whether who is no member sees the channel: never, always, or as the public see it.
VisitorMode = Literal["hidden", "visible", "follow"]
ListName = Literal["black", "white"]

Permission = Literal[
    "send",
    "manage_messages",
    "mention_all",
    "manage_group",
    "manage_channels",
    "manage_roles",
    "manage_members",
    "mute",
    "invite",
    "approve",
    "kick",
    "ban",
]

#: What each permission lets its holder do: also the table in the docs.
PERMISSIONS: Final[dict[Permission, str]] = {
    "send": "Send messages and signals into a channel that one sees.",
    "manage_messages": "Recall the messages of others.",
    "mention_all": "Mention everyone.",
    "manage_group": "Change the group's profile and join mode; make and revoke invite codes.",
    "manage_channels": "Create, change and delete channels and categories, their lists and overrides.",
    "manage_roles": "Create, change and delete roles below one's own highest, and give them to members.",
    "manage_members": "Add members, change the profiles of others.",
    "mute": "Mute members below oneself, channels, the group.",
    "invite": "Invite users.",
    "approve": "Approve and decline applications.",
    "kick": "Remove members below oneself.",
    "ban": "Ban users below oneself, and lift bans.",
}

#: The role that every member has, of the lowest priority. It is never created and has no list of members.
EVERYONE: Final = "everyone"

Name = Annotated[str, Meta(max_length=limits.NAME_CHARS)]
Topic = Annotated[str, Meta(max_length=limits.TOPIC_CHARS)]
Avatar = Annotated[str, Meta(max_length=limits.AVATAR_CHARS)]
#: Opaque to the pipeline.
Custom = Annotated[str, Meta(max_length=limits.CUSTOM_CHARS)]
Weight = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Priority = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Permissions = Annotated[list[Permission], Meta(max_length=len(PERMISSIONS))]


class Entity(Struct, omit_defaults=True, frozen=True, gc=False):
    """Base of what a group consists of."""


class Profile(Entity, frozen=True):
    """What a group says of itself.

    Attributes:
        name: for people.
        topic: its classification in the square.
        avatar: a reference to a picture.
        custom: opaque.
        searchable: whether the square shows it.
        weight: its place there.
        join_mode: who may become a member of its own accord.
    """

    name: Name = ""
    topic: Topic = ""
    avatar: Avatar = ""
    custom: Custom = ""
    searchable: bool = False
    weight: Weight = 0
    join_mode: JoinMode = "invite"


class Channel(Entity, frozen=True):
    """A channel of a server.

    Attributes:
        channel: its id.
        kind: text, voice or custom.
        name: for people.
        topic: what it is about.
        category: the category that it stands in; None for none.
        sync: whether it follows its category: then that one's mode, lists and overrides count instead of its own.
        view_mode: public or private; its own, dormant while it follows.
        visitor_mode: whether who is no member sees it.
        weight: its place among the channels.
        custom: opaque.
        muted_until: nobody but holders of `mute` sends before this moment.
    """

    channel: Id
    kind: ChannelKind = "text"
    name: Name = ""
    topic: Topic = ""
    category: Id | None = None
    sync: bool = False
    view_mode: ViewMode = "public"
    visitor_mode: VisitorMode = "hidden"
    weight: Weight = 0
    custom: Custom = ""
    muted_until: Millis = 0


class Category(Entity, frozen=True):
    """A group of channels; those with `sync` follow its mode, lists and overrides."""

    category: Id
    name: Name = ""
    view_mode: ViewMode = "public"
    weight: Weight = 0
    custom: Custom = ""


class Role(Entity, frozen=True):
    """An identity group of members.

    Attributes:
        role: its id.
        name: for people.
        priority: who holds a role manages those of lower priority; EVERYONE has 0.
        allow: permissions that it gives.
        deny: permissions that it takes; of two roles on one level, a denial beats.
        custom: opaque.
    """

    role: Id
    name: Name = ""
    priority: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 1
    allow: Permissions = []
    deny: Permissions = []
    custom: Custom = ""


class Override(Entity, frozen=True):
    """What a role or a member is allowed and denied in one channel or category, over the server's level.

    Attributes:
        role: for whom; None where `user` says it.
        user: for whom; beats what roles say.
        allow: permissions given here.
        deny: permissions taken here.
    """

    role: Id | None = None
    user: Id | None = None
    allow: Permissions = []
    deny: Permissions = []


class MemberProfile(Entity, frozen=True):
    """What a member is in a group: the cold half, apart from who is one.

    Attributes:
        nick: the name here.
        avatar: the picture here.
        custom: opaque.
        weight: its place in lists.
        muted_until: sends are refused before this moment.
    """

    nick: Name = ""
    avatar: Avatar = ""
    custom: Custom = ""
    weight: Weight = 0
    muted_until: Millis = 0


class Code(Entity, frozen=True):
    """An invite code: whoever shows it becomes a member.

    Attributes:
        code: it.
        uses: how often it may be used yet.
        expires_at: when it ends.
        by: who made it; None: the system.
    """

    code: Id
    uses: Count
    expires_at: Millis
    by: Id | None = None
