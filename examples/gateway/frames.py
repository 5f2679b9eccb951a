"""What pages send: frames, read and checked. What is wrong with one is said to its page."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from aiohttp import WSMsgType

from linkcast_gateway import STATUS_CHARS, Place, Subscription

#: Characters of an id.
ID_CHARS: Final = 64
#: The channel of a group that has but one.
MAIN: Final = "main"
#: What a page may ask for; each is a command of the contract, by the page's user.
COMMANDS: Final = frozenset(
    {
        *("create_group", "update_group", "delete_group", "invite", "answer_invite", "remove_members"),
        *("create_channel", "update_channel", "delete_channel", "edit_list", "set_override"),
        *("create_role", "update_role", "delete_role", "add_role_members", "remove_role_members"),
    }
)

#: What a page may subscribe to.
LEVELS: Final = frozenset({"messages", "unread_count", "unread_status", "typing", "server"})
#: What the gateway says of a command, never the page.
OURS: Final = frozenset({"t", "v", "app", "group", "by", "reply", "request", "session", "what"})

_ID: Final = re.compile(rf"[A-Za-z0-9_.@-]{{1,{ID_CHARS}}}\Z")
_INVITED: Final = 500  # names in one frame


class CommandError(Exception):
    """A frame of a page that cannot be served; its text is shown."""


def frame_of(message: Any) -> dict[str, Any]:
    """A page's frame as an object."""
    if message.type is not WSMsgType.TEXT:
        raise CommandError("frames are text")
    try:
        frame = msgspec.json.decode(message.data)
    except (msgspec.DecodeError, RecursionError):
        raise CommandError("frames are JSON") from None
    if not isinstance(frame, dict):
        raise CommandError("frames are objects")
    return frame


def id_in(frame: dict[str, Any], name: str) -> str:
    """An id that a frame names."""
    return _checked(frame.get(name), name)


def channel_in(frame: dict[str, Any]) -> str:
    """The channel that a frame is about."""
    return _checked(frame.get("channel", MAIN), "channel")


def users_in(frame: dict[str, Any], name: str = "users") -> list[str]:
    """Users that a frame names."""
    names = frame.get(name, [])
    if not isinstance(names, list) or len(names) > _INVITED:
        raise CommandError(f"{name}: a list of at most {_INVITED} names")
    return [_checked(each, name) for each in names]


def text_in(frame: dict[str, Any], name: str) -> str:
    """A text for people."""
    if not isinstance(text := frame.get(name), str) or len(text) > STATUS_CHARS:
        raise CommandError(f"{name}: at most {STATUS_CHARS} characters")
    return text


def place_in(frame: dict[str, Any]) -> Place | None:
    """The session that a page was, if it says so."""
    if (was := frame.get("was")) is None:
        return None
    if not isinstance(was, dict):
        raise CommandError("was: link, epoch and slot")
    return Place(id_in(was, "link"), number_in(was, "epoch"), number_in(was, "slot"))


def subscriptions_in(frame: dict[str, Any]) -> list[Subscription]:
    """What a page wants to hear; the levels are the pipeline's to judge."""
    wanted = frame.get("subscriptions")
    if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted):
        raise CommandError("subscriptions: a list of group, level and channel")
    if len(wanted) > _INVITED or not all(one.get("level") in LEVELS for one in wanted):
        raise CommandError(f"subscriptions: at most {_INVITED}, each of a level: {', '.join(sorted(LEVELS))}")
    return [
        Subscription(id_in(one, "group"), one["level"], id_in(one, "channel") if "channel" in one else None)
        for one in wanted
    ]


def _checked(value: Any, name: str) -> str:
    if not isinstance(value, str) or not _ID.match(value):
        raise CommandError(f"{name}: 1 to {ID_CHARS} of letters, digits, and _ . @ -")
    return value


def pull_in(frame: dict[str, Any]) -> dict[str, Any]:
    """A pull as it is answered; `after` or `before` may be absent."""
    bounds = {name: None if frame.get(name) is None else number_in(frame, name) for name in ("after", "before")}
    where = {"t": "pulled", "group": id_in(frame, "group"), "channel": channel_in(frame)}
    return {**where, **bounds, "limit": number_in(frame, "limit")}


def number_in(frame: dict[str, Any], name: str) -> int:
    """A whole number in a frame."""
    value = frame.get(name)
    if not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise CommandError(f"{name}: a whole number is missing")
    return value
