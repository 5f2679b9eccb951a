"""What a request asks for: the names of its path, the parameters of its query, checked before anything is looked up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from streams.web.cursors import place_of
from streams.web.guard import CLAIMS
from streams.web.pages import ChannelId, Window
from streams.web.problems import Code, ProblemError
from streams.web.tokens import Claims
from topics import limits
from topics.wire import Id

P = TypeVar("P", int, str)

_NUMBER: Final = re.compile("[0-9]{1,19}")
_MOST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Number:
    """A parameter of a query: a number, once or not at all.

    Attributes:
        name: its name.
        meaning: what it does, for people.
        least: the lowest value.
        most: the highest.
        usual: the value where it is not given; None for none.
    """

    name: str
    meaning: str
    least: int = 0
    most: int = _MOST
    usual: int | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """The parameter `cursor`: `next` of the page before."""

    name: str = "cursor"
    meaning: str = "`next` of the page before; absent for the first page"


@dataclass(frozen=True, slots=True)
class Choice:
    """A parameter of a query: one of some words.

    Attributes:
        name: its name.
        meaning: what it does, for people.
        words: these.
        usual: the one where it is not given.
    """

    name: str
    meaning: str
    words: tuple[str, ...]
    usual: str


@dataclass(frozen=True, slots=True)
class Name:
    """A parameter of a query: the id of something, once or not at all.

    Attributes:
        name: its name.
        meaning: what it does, for people.
    """

    name: str
    meaning: str


Param = Number | Cursor | Choice | Name

LIMIT: Final = Number(
    "limit", "how many at most", least=1, most=limits.PAGE_ENTRIES, usual=min(100, limits.PAGE_ENTRIES)
)
CURSOR: Final = Cursor()


class Call:
    """A request that was let in."""

    def __init__(self, request: web.Request, missing: Code, params: tuple[Param, ...]) -> None:
        """Read it.

        Raises:
            ProblemError: bad_request; or, for a name that can be nobody's, `missing`.
        """
        self.asker: Claims = request[CLAIMS]
        self._names = request.match_info
        self._query = request.query
        try:
            msgspec.convert(list(self._names.values()), list[Id])
        except msgspec.ValidationError:
            raise ProblemError(missing) from None
        known = {param.name for param in params}
        if strange := sorted(name for name in self._query if name not in known):
            named = ", ".join(f"`{name}`" for name in sorted(known)) or "none"
            raise ProblemError("bad_request", f"`{strange[0][:20]}` is no parameter of this view: it takes {named}")

    def name(self, of: str) -> str:
        """A name of the path."""
        return self._names[of]

    def number(self, param: Number) -> int | None:
        """A number of the query, its usual value where it is not given.

        Raises:
            ProblemError: bad_request.
        """
        values = self._query.getall(param.name, [])
        if not values:
            return param.usual
        if (
            len(values) == 1
            and _NUMBER.fullmatch(values[0])
            and param.least <= (number := int(values[0])) <= param.most
        ):
            return number
        most = "up" if param.most == _MOST else f"to {param.most}"
        raise ProblemError("bad_request", f"`{param.name}` is one number from {param.least} {most}")

    def choice(self, param: Choice) -> Any:  # Any: the words' own type
        """A word of the query, the usual one where none is given.

        Raises:
            ProblemError: bad_request.
        """
        values = self._query.getall(param.name, [param.usual])
        if len(values) == 1 and values[0] in param.words:
            return values[0]
        raise ProblemError("bad_request", f"`{param.name}` is one of {', '.join(f'`{word}`' for word in param.words)}")

    def id(self, param: Name) -> str | None:
        """An id of the query.

        Raises:
            ProblemError: bad_request.
        """
        values = self._query.getall(param.name, [])
        try:
            found = msgspec.convert(values, list[Id])
        except msgspec.ValidationError:
            found = [*values, ""]
        if len(found) > 1:
            raise ProblemError("bad_request", f"`{param.name}` is one id")
        return found[0] if found else None

    def limit(self) -> int:
        """How many are asked for at most.

        Raises:
            ProblemError: bad_request.
        """
        return self.number(LIMIT) or limits.PAGE_ENTRIES

    def place(self, of: str, kind: type[P]) -> P | None:
        """The place that the cursor names in the list `of`.

        Raises:
            ProblemError: bad_cursor.
        """
        values = self._query.getall(CURSOR.name, [])
        if len(values) > 1:
            raise ProblemError("bad_cursor")
        return place_of(values[0] if values else None, of, kind)


BEFORE: Final = Number("before", "the newest messages below this seq")
AFTER: Final = Number("after", "the oldest messages above this seq")
MESSAGES: Final = Number("limit", "how many messages at most", least=1, most=limits.PULL_MESSAGES, usual=50)


def channel_of(call: Call) -> ChannelId:
    """The channel of the path."""
    return ChannelId(call.name("app"), call.name("group"), call.name("channel"))


def window_of(call: Call) -> Window:
    """The window of the query.

    Raises:
        ProblemError: a value is out of its range, given twice, or both ends are named.
    """
    before, after = call.number(BEFORE), call.number(AFTER)
    if before is not None and after is not None:
        raise ProblemError("bad_request", "give `before` or `after`, not both")
    return Window(call.number(MESSAGES) or limits.PULL_MESSAGES, before, after)
