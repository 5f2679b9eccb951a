"""What a request names: a channel by its path, a window by its query."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from aiohttp import web

from streams.web.pages import ChannelId, Window
from streams.web.problems import ProblemError
from topics import limits

_LIMIT: Final = 50
_NUMBER: Final = re.compile("[0-9]{1,19}")
_MOST: Final = 2**63 - 1


def channel_of(request: web.Request) -> ChannelId:
    """The channel of the path.

    Raises:
        ProblemError: there can be no such.
    """
    try:
        return msgspec.convert([request.match_info[name] for name in ("app", "group", "channel")], ChannelId)
    except msgspec.ValidationError:
        raise ProblemError("unknown_group") from None


def window_of(request: web.Request) -> Window:
    """The window of the query.

    Raises:
        ProblemError: a value is out of its range, given twice, or both ends are named.
    """
    before, after = _number(request, "before"), _number(request, "after")
    if before is not None and after is not None:
        raise ProblemError("bad_request", "give `before` or `after`, not both")
    limit = _number(request, "limit")
    limit = _LIMIT if limit is None else limit
    if not 1 <= limit <= limits.PULL_MESSAGES:
        raise ProblemError("bad_request", f"`limit` is from 1 to {limits.PULL_MESSAGES}")
    return Window(limit, before, after)


def _number(request: web.Request, name: str) -> int | None:
    values = request.query.getall(name, [])
    if not values:
        return None
    if len(values) == 1 and _NUMBER.fullmatch(values[0]) and (number := int(values[0])) <= _MOST:
        return number
    raise ProblemError("bad_request", f"`{name}` is one number from 0 up")
