"""What an app may have: the limits that its policy sets.

A policy may set a limit lower or higher than `topics.limits` has it, up to TIMES as high.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from topics import limits

TIMES: Final = 10  #: how much higher than usual a policy may set a limit


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of one app; each is one of `topics.limits`, where it is explained, by the same name."""

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


def read_policies(overrides: Mapping[str, Mapping[str, int]]) -> dict[str, Policy]:
    """Policies from what each app has otherwise than usual: app -> limit -> value.

    Raises:
        ValueError: a limit is unknown or out of its range; it says which.
    """
    by_app: dict[str, Policy] = {}
    for app, limits_of_app in overrides.items():
        try:
            by_app[app] = msgspec.convert(limits_of_app, Policy)
        except msgspec.ValidationError as error:
            raise ValueError(f"app `{app}`: {error}") from None
    return by_app
