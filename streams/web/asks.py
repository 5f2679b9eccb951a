"""A question to the owner of a partition, as it travels from the worker that was asked to the one that knows.

Each names its object, and answers for itself from the owner's core: `answer` is the access function, so it checks who
asks, and there is no way around it. Answers are functions of memory: no I/O, no change of any row.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

import msgspec

from streams.web.problems import Code, ProblemError
from streams.web.tokens import Claims
from topics.keys import key_of, partition_of
from topics.wire import Id

Kind = Literal["groups", "users", "links"]


class Ask(msgspec.Struct, tag_field="t", frozen=True):
    """A question.

    Attributes:
        kind: the kind of lane that knows the answer.
        missing: what is told of an object that does not exist, also to those who may not see it.
        shared: whether equal ones of one asker share an answer, which may be older than the later of them by as long
            as the first is under way.
    """

    kind: ClassVar[Kind]
    missing: ClassVar[Code]
    shared: ClassVar[bool] = False

    def partition(self, partitions: int) -> int:
        """The partition that knows the answer, of `partitions`."""
        raise NotImplementedError

    def answer(self, core: Any, asker: Claims) -> msgspec.Struct:
        """The answer of the partition's core.

        Raises:
            ProblemError: there is no such object for this asker.
        """
        raise NotImplementedError


class OfGroup(Ask, frozen=True):
    """A question about a group."""

    kind: ClassVar[Kind] = "groups"
    missing: ClassVar[Code] = "unknown_group"

    app: Id
    group: Id

    def partition(self, partitions: int) -> int:
        """See `Ask`."""
        return partition_of(key_of(self.app, self.group), partitions)


class OfUser(Ask, frozen=True):
    """A question about a user."""

    kind: ClassVar[Kind] = "users"
    missing: ClassVar[Code] = "unknown_user"

    app: Id
    user: Id

    def partition(self, partitions: int) -> int:
        """See `Ask`."""
        return partition_of(key_of(self.app, self.user), partitions)

    def admit(self, asker: Claims) -> None:
        """A user sees itself only; others their whole app.

        Raises:
            ProblemError: there is no such user for this asker.
        """
        if asker.app != self.app or (asker.caller == "user" and asker.sub != self.user):
            raise ProblemError("unknown_user")


class OfLinks(Ask, frozen=True):
    """A question about the cluster's links, which belong to no app."""

    kind: ClassVar[Kind] = "links"
    missing: ClassVar[Code] = "not_found"

    def partition(self, partitions: int) -> int:
        """The only one that `links` has."""
        del partitions
        return 0

    def admit(self, asker: Claims) -> None:
        """Users see no links.

        Raises:
            ProblemError: not_allowed.
        """
        if asker.caller == "user":
            raise ProblemError("not_allowed")


#: What an owner's refusal may be; anything else says that it is not the owner, or not well.
REFUSALS: Final[frozenset[Code]] = frozenset(
    {
        *("unknown_group", "unknown_user", "unknown_session", "unknown_link", "unknown_channel", "unknown_category"),
        *("unknown_role", "unknown_member", "unknown_change_set", "not_allowed", "not_permitted"),
        *("too_many_to_sort", "bad_cursor"),
    }
)
