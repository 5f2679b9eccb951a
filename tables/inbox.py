"""What users are told in person: each user's inbox of notices, and so what one who was offline finds.

A user's notices have numbers that rise and are never given again: a reader asks for those after the one it knows. Of
one group and kind, notices that follow each other within NOTICE_WINDOW_MS are one, under a new number, so that a reader
who knows the old number learns of it; what they do not agree on it does not say. A notice that names no newer version
of its group than the kept one of its kind changes nothing.

At most NOTICES_KEPT are kept, and those older than NOTICE_DAYS go when others come. A user needs no row anywhere else:
who was invited and is no member of any group has an inbox too.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, NamedTuple

import msgspec

from tables import keys
from tables.rows import Rows
from topics import limits
from topics.keys import key_of
from topics.notices import Kept, Notice

_KEPT_MS: Final = limits.NOTICE_DAYS * 86_400_000


class _Head(msgspec.Struct, array_like=True):
    """An inbox's row."""

    newest: int = 0  # the number of the newest notice
    first: int = 1  # what was numbered below is gone
    count: int = 0  # how many are kept
    oldest_at: int = 0  # when the oldest of them was


class Taken(NamedTuple):
    """A notice as it was put into an inbox.

    Attributes:
        kept: it.
        replaced: the number of the one that it stands for as well, and that is gone; None for none.
    """

    kept: Kept
    replaced: int | None


class Page(NamedTuple):
    """Some notices of an inbox.

    Attributes:
        newest: the number of the newest notice in it; 0 if there never was one.
        first: what was numbered below is gone: who knows less has missed some.
        notices: those of this page, by number.
        more: there are further ones.
    """

    newest: int
    first: int
    notices: list[Kept]
    more: bool


_encode: Final = msgspec.msgpack.Encoder().encode
_decode_head: Final = msgspec.msgpack.Decoder(_Head).decode
_decode_kept: Final = msgspec.msgpack.Decoder(Kept).decode


class Inboxes:
    """The inboxes of the users of one partition."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def put(self, notice: Notice, user: str) -> Taken | None:
        """Put a notice into a user's inbox; None if it is old news. O(1) beside what goes for it."""
        owner = key_of(notice.app, user)
        newest_key = keys.name(keys.NEWEST, owner, notice.group.encode()) + notice.kind.encode()
        before = self._newest(owner, newest_key)
        if before is not None and before.version >= notice.version:
            return None
        head = self._head(owner)
        head.newest += 1
        head.oldest_at = head.oldest_at or notice.at
        if before is not None and notice.at - before.at <= limits.NOTICE_WINDOW_MS:
            self._rows.delete(_notice_key(owner, before.number))
            kept = _merged(before, notice, head.newest)
        else:
            before = None
            kept = _kept(notice, head.newest)
            head.count += 1
        self._rows.put(_notice_key(owner, kept.number), _encode(kept))
        self._rows.put(newest_key, keys.u64(kept.number))
        self._make_room(owner, head, notice.at - _KEPT_MS)
        self._rows.put(keys.INBOX + owner, _encode(head))
        return Taken(kept, None if before is None else before.number)

    def since(self, app: str, user: str, number: int, count: int) -> Page:
        """Up to `count` notices after the number that a reader knows, the oldest first."""
        owner = key_of(app, user)
        head = self._head(owner)
        prefix = keys.name(keys.NOTICE, owner)
        found = [
            _decode_kept(row) for _, row in islice(self._rows.scan(prefix, _notice_key(owner, number + 1)), count + 1)
        ]
        return Page(head.newest, head.first, found[:count], len(found) > count)

    def newest(self, app: str, user: str) -> int:
        """The number of a user's newest notice; 0 if there never was one."""
        return self._head(key_of(app, user)).newest

    def _head(self, owner: bytes) -> _Head:
        stored = self._rows.get(keys.INBOX + owner)
        return _decode_head(stored) if stored else _Head()

    def _newest(self, owner: bytes, newest_key: bytes) -> Kept | None:
        """The newest notice of a group and kind, if it is still kept."""
        number = self._rows.get(newest_key)
        return self._at(owner, int.from_bytes(number, "big")) if number else None

    def _at(self, owner: bytes, number: int) -> Kept | None:
        stored = self._rows.get(_notice_key(owner, number))
        return _decode_kept(stored) if stored else None

    def _make_room(self, owner: bytes, head: _Head, kept_since: int) -> None:
        """Let the oldest go, as many as are too many or too old; the newest stays."""
        while head.count > 1 and (head.count > limits.NOTICES_KEPT or head.oldest_at < kept_since):
            oldest = self._oldest(owner, head.first)
            if head.count <= limits.NOTICES_KEPT and oldest.at >= kept_since:
                head.oldest_at = oldest.at
                return
            self._drop(owner, oldest)
            head.count -= 1
            head.first = oldest.number + 1

    def _oldest(self, owner: bytes, first: int) -> Kept:
        """The first notice from a number on; those that others stand for have left their numbers behind."""
        number = first
        while (kept := self._at(owner, number)) is None:
            number += 1
        return kept

    def _drop(self, owner: bytes, kept: Kept) -> None:
        self._rows.delete(_notice_key(owner, kept.number))
        newest_key = keys.name(keys.NEWEST, owner, kept.group.encode()) + kept.kind.encode()
        if self._rows.get(newest_key) == keys.u64(kept.number):
            self._rows.delete(newest_key)


def _kept(notice: Notice, number: int) -> Kept:
    return Kept(
        number,
        notice.group,
        notice.version,
        notice.at,
        notice.kind,
        by=notice.by,
        about=notice.about,
        subject=notice.subject,
        end=notice.end,
    )


def _merged(before: Kept, notice: Notice, number: int) -> Kept:
    """One that stands for both; what they do not agree on it does not say."""
    return Kept(
        number,
        notice.group,
        notice.version,
        notice.at,
        notice.kind,
        count=before.count + 1,
        by=notice.by if notice.by == before.by else None,
        about=notice.about if notice.about == before.about else None,
        subject=notice.subject if notice.subject == before.subject else None,
        end=notice.end if notice.end == before.end else "",
    )


def _notice_key(owner: bytes, number: int) -> bytes:
    return keys.name(keys.NOTICE, owner) + keys.u64(number)
