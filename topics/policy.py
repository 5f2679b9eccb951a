"""What an app may have, and how it is served: its policy. `policies`: one record an app, told to every partition.

A policy may set a limit lower or higher than `topics.limits` has it, up to TIMES as high. It is in force from the
record on, without a restart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal, NamedTuple, cast

import msgspec
import msgspec.inspect
from msgspec import Meta

from topics import limits
from topics.subscriptions import DriveMode
from topics.versions import FIRST, PoliciesVersion
from topics.wire import Id, Wire

TIMES: Final = 10  #: how much higher than usual a policy may set a limit


#: How many sessions a user has at once; a new one ends those of the same device, platform, or all others.
SessionsRule = Literal["any", "one_per_device", "one_per_platform", "one"]


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The policy of one app. Its limits are those of `topics.limits`, where they are explained, by the same names.

    Attributes:
        sessions: which sessions a new one of the user ends.
        drive_server: how messages of servers are distributed.
        drive_team: and those of teams.
        drive_direct: and those of direct groups.
        drive_room: and those of rooms.
    """

    channels: Annotated[int, Meta(ge=0, le=TIMES * limits.CHANNELS)] = limits.CHANNELS
    categories: Annotated[int, Meta(ge=0, le=TIMES * limits.CATEGORIES)] = limits.CATEGORIES
    roles: Annotated[int, Meta(ge=0, le=TIMES * limits.ROLES)] = limits.ROLES
    group_members: Annotated[int, Meta(ge=2, le=TIMES * limits.GROUP_MEMBERS)] = limits.GROUP_MEMBERS
    muted_members: Annotated[int, Meta(ge=0, le=TIMES * limits.MUTED_MEMBERS)] = limits.MUTED_MEMBERS
    banned_users: Annotated[int, Meta(ge=0, le=TIMES * limits.BANNED_USERS)] = limits.BANNED_USERS
    open_requests: Annotated[int, Meta(ge=0, le=TIMES * limits.OPEN_REQUESTS)] = limits.OPEN_REQUESTS
    open_codes: Annotated[int, Meta(ge=0, le=TIMES * limits.OPEN_CODES)] = limits.OPEN_CODES
    request_ms: Annotated[int, Meta(ge=1_000, le=TIMES * limits.REQUEST_MS)] = limits.REQUEST_MS
    channel_list_members: Annotated[int, Meta(ge=0, le=TIMES * limits.CHANNEL_LIST_MEMBERS)] = (
        limits.CHANNEL_LIST_MEMBERS
    )
    notice_users: Annotated[int, Meta(ge=0, le=TIMES * limits.NOTICE_USERS)] = limits.NOTICE_USERS
    notice_window_ms: Annotated[int, Meta(ge=0, le=TIMES * limits.NOTICE_WINDOW_MS)] = limits.NOTICE_WINDOW_MS
    resume_ms: Annotated[int, Meta(ge=0, le=TIMES * limits.RESUME_MS)] = limits.RESUME_MS
    ground_window_ms: Annotated[int, Meta(ge=0, le=TIMES * limits.GROUND_WINDOW_MS)] = limits.GROUND_WINDOW_MS
    subscribe_members: Annotated[int, Meta(ge=0, le=TIMES * limits.SUBSCRIBE_MEMBERS)] = limits.SUBSCRIBE_MEMBERS
    channels_subscribed: Annotated[int, Meta(ge=1, le=TIMES * limits.CHANNELS_SUBSCRIBED)] = limits.CHANNELS_SUBSCRIBED
    groups_subscribed: Annotated[int, Meta(ge=1, le=TIMES * limits.GROUPS_SUBSCRIBED)] = limits.GROUPS_SUBSCRIBED
    watched_users: Annotated[int, Meta(ge=0, le=TIMES * limits.WATCHED_USERS)] = limits.WATCHED_USERS
    presence_window_ms: Annotated[int, Meta(ge=0, le=TIMES * limits.PRESENCE_WINDOW_MS)] = limits.PRESENCE_WINDOW_MS
    unread_window_ms: Annotated[int, Meta(ge=20, le=TIMES * limits.UNREAD_WINDOW_MS)] = limits.UNREAD_WINDOW_MS
    status_window_ms: Annotated[int, Meta(ge=20, le=TIMES * limits.STATUS_WINDOW_MS)] = limits.STATUS_WINDOW_MS
    burst_per_s: Annotated[int, Meta(ge=1, le=TIMES * limits.BURST_PER_S)] = limits.BURST_PER_S
    sessions: SessionsRule = "one_per_device"
    drive_server: DriveMode = "subscription"
    drive_team: DriveMode = "subscription"
    drive_direct: DriveMode = "subscription"
    drive_room: DriveMode = "subscription"


class PolicySet(Wire, tag="policy", frozen=True):
    """An app's policy is this from here on.

    Attributes:
        app: the app.
        policy: what it has otherwise than usual.
    """

    app: Id
    policy: Policy
    v: PoliciesVersion = FIRST


class Choice(NamedTuple):
    """What one name of a policy may be.

    Attributes:
        name: the name.
        usual: what it is unless the policy says otherwise.
        allowed: a range of numbers, or words.
    """

    name: str
    usual: int | str
    allowed: range | tuple[str, ...]


def _choice(field: msgspec.inspect.Field) -> Choice:
    match field.type:
        case msgspec.inspect.IntType(ge=int(least), le=int(most)):
            return Choice(field.name, field.default, range(least, most + 1))
        case msgspec.inspect.LiteralType(values=values):
            return Choice(field.name, field.default, tuple(str(value) for value in values))
    raise TypeError(field.name)


_STRUCT: Final = cast("msgspec.inspect.StructType", msgspec.inspect.type_info(Policy))
#: All that a policy may name, in the order of `Policy`.
CHOICES: Final[Mapping[str, Choice]] = {field.name: _choice(field) for field in _STRUCT.fields}


def changed(policy: Policy, given: Mapping[str, str]) -> Policy:
    """The policy with other values, each as people write it.

    Raises:
        ValueError: a name is unknown or a value out of its range; it says which, and what may be.
    """
    values = named(policy)
    for name, text in given.items():
        if (choice := CHOICES.get(name)) is None:
            raise ValueError(f"A policy has no `{name}`")
        value = _value(choice, text)
        if value is None:
            raise ValueError(f"`{name}` may be {shown(choice.allowed)}, not `{text}`")
        values[name] = value
    return msgspec.convert({name: value for name, value in values.items() if value != CHOICES[name].usual}, Policy)


def _value(choice: Choice, text: str) -> int | str | None:
    if isinstance(choice.allowed, range):
        return int(text) if _NUMBER.fullmatch(text) and int(text) in choice.allowed else None
    return text if text in choice.allowed else None


def shown(allowed: range | tuple[str, ...]) -> str:
    """What may be, for people."""
    if isinstance(allowed, range):
        return f"{allowed.start} to {allowed.stop - 1}"
    return ", ".join(f"`{value}`" for value in allowed)


def named(policy: Policy) -> dict[str, int | str]:
    """What a policy has otherwise than usual."""
    return {name: value for name, choice in CHOICES.items() if (value := getattr(policy, name)) != choice.usual}


_NUMBER: Final = re.compile(r"[0-9]{1,18}")
