"""Who sees a channel: the formula, over bitmaps of ordinals.

```
visible(u, c) = u in members, and
                public  E(c):  not ( u in black.users  or  roles(u) meets black.roles )
                private E(c):       u in white.users   or  roles(u) meets white.roles
owner           sees every channel
visitor         (not a member) sees c where visitor_mode = visible, or = follow and E(c) is public
```

E(c) is the category that the channel follows, else the channel itself. The mode picks the list; the other one lies
dormant. Whoever is banned is no member. Cost follows who is asked about, not how many members there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from pyroaring import BitMap

from topics.entities import ViewMode, VisitorMode


class List(NamedTuple):
    """A white or black list.

    Attributes:
        users: the ordinals of users on it.
        roles: the members of each role on it.
    """

    users: BitMap
    roles: Mapping[str, BitMap]


class Rule(NamedTuple):
    """What decides who sees a channel: the mode and lists of E(c)."""

    view_mode: ViewMode
    black: List
    white: List

    @property
    def active(self) -> List:
        """The list that the mode picks."""
        return self.black if self.view_mode == "public" else self.white


#: Which words of the formula decide.
Word = Literal[
    "owner",
    "public",
    "black_user",
    "black_role",
    "white_user",
    "white_role",
    "not_on_white_list",
    "visitors_see",
    "visitors_do_not",
]


class Why(NamedTuple):
    """Whether somebody sees a channel, and why.

    Attributes:
        sees: whether.
        words: the words of the formula that say so.
        roles: the roles on the list that it was decided by.
    """

    sees: bool
    words: tuple[Word, ...]
    roles: tuple[str, ...] = ()


def visible(rule: Rule, members: BitMap, owner: int | None) -> BitMap:
    """Every member who sees it."""
    return visible_among(rule, members, owner)


def visible_among(rule: Rule, among: BitMap, owner: int | None) -> BitMap:
    """Those of these members who see it."""
    unlisted = among - rule.active.users
    for holders in rule.active.roles.values():
        unlisted -= holders
    seen = unlisted if rule.view_mode == "public" else among - unlisted
    if owner is not None and owner in among:
        seen.add(owner)
    return seen


def sees(rule: Rule, ordinal: int, owner: int | None) -> bool:
    """Whether one member sees it."""
    users, roles = rule.active
    listed = ordinal in users or _holds_any(ordinal, roles.values())
    return ordinal == owner or listed == (rule.view_mode == "private")


def why(rule: Rule, ordinal: int, owner: int | None) -> Why:
    """Whether one member sees it, and by which words of the formula; the owner's are told beside those that hold."""
    public = rule.view_mode == "public"
    words: list[Word] = ["owner"] if ordinal == owner else []
    if ordinal in rule.active.users:
        words.append("black_user" if public else "white_user")
    if roles := tuple(role for role, holders in rule.active.roles.items() if ordinal in holders):
        words.append("black_role" if public else "white_role")
    if not words or words == ["owner"]:
        words.append("public" if public else "not_on_white_list")
    return Why(sees(rule, ordinal, owner), tuple(words), roles)


def visitor_sees(visitor_mode: VisitorMode, view_mode: ViewMode) -> bool:
    """Whether who is no member sees a channel of this visitor mode, E(c) being of this view mode."""
    return visitor_mode == "visible" or (visitor_mode == "follow" and view_mode == "public")


def why_visitor(visitor_mode: VisitorMode, view_mode: ViewMode) -> Why:
    """The same with its reason."""
    seen = visitor_sees(visitor_mode, view_mode)
    return Why(seen, ("visitors_see" if seen else "visitors_do_not",))


def _holds_any(ordinal: int, roles: Iterable[BitMap]) -> bool:
    return any(ordinal in holders for holders in roles)
