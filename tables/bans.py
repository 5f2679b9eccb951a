"""Users who are kept out of a group, members before or not. Looked up in rows when somebody is to come in."""

from __future__ import annotations

from collections.abc import Iterable

from tables import keys
from tables.parts import PartRows
from tables.rows import Rows


class Bans:
    """The bans of one group's life. A row holds until when one lasts; 0 stands for: until it is lifted."""

    def __init__(self, rows: Rows, group: bytes, first: int) -> None:
        self._rows = PartRows(rows, keys.BAN, group, first)

    def __len__(self) -> int:
        """How many there are, with those whose time is over and that nobody asked for since."""
        return len(self._rows)

    def banned(self, user: str, now_ms: int) -> bool:
        """Whether the user is kept out now."""
        return self._live(user, now_ms) is not None

    def let_in(self, users: Iterable[str], now_ms: int) -> list[str]:
        """Those of these users who are not kept out."""
        return [user for user in users if not self.banned(user, now_ms)] if self._rows else list(users)

    def ban(self, users: Iterable[str], until: int | None, now_ms: int) -> list[str]:
        """Keep these out; returns for whom this is a change."""
        wanted = until or 0
        changed = [user for user in dict.fromkeys(users) if self._live(user, now_ms) != wanted]
        for user in changed:
            self._rows.put(user.encode(), keys.u64(wanted))
        return changed

    def lift(self, users: Iterable[str], now_ms: int) -> list[str]:
        """Let these in again; returns for whom this is a change."""
        lifted = [user for user in dict.fromkeys(users) if self.banned(user, now_ms)]
        for user in lifted:
            self._rows.delete(user.encode())
        return lifted

    def page(self, count: int, now_ms: int, after: str = "") -> list[tuple[str, int | None]]:
        """Up to `count` (user, until) by name, after that name; None: until it is lifted."""
        found: list[tuple[str, int | None]] = []
        for key, value in self._rows.scan(after=after.encode()):
            until = int.from_bytes(value, "big")
            if until == 0 or until > now_ms:
                found.append((key.decode(), until or None))
            if len(found) == count:
                break
        return found

    def _live(self, user: str, now_ms: int) -> int | None:
        """What the user's row holds, if the ban is not over."""
        if (stored := self._rows.get(user.encode())) is None:
            return None
        until = int.from_bytes(stored, "big")
        return until if until == 0 or until > now_ms else None
