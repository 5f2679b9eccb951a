"""Members of a group whose sends are refused for a while. Few, so all are in memory; those whose time is over go."""

from __future__ import annotations

from collections.abc import Iterable

from tables import keys
from tables.parts import PartRows
from tables.rows import Rows

_BYTES_PER_MUTE = 100


class Mutes:
    """The muted members of one group's life."""

    def __init__(self, rows: Rows, group: bytes, first: int) -> None:
        self._rows = PartRows(rows, keys.MUTE, group, first)
        self._until = {int.from_bytes(key, "big"): int.from_bytes(until, "big") for key, until in self._rows.scan()}

    def __len__(self) -> int:
        """How many there are, with those whose time is over and who were not dropped yet."""
        return len(self._until)

    def until(self, ordinal: int) -> int:
        """Until when the member is or was muted; 0: nobody muted it."""
        return self._until.get(ordinal, 0)

    def muted(self, ordinal: int, now_ms: int) -> int:
        """Until when the member is muted; 0: it is not."""
        until = self.until(ordinal)
        return until if until > now_ms else 0

    def all(self, now_ms: int) -> dict[int, int]:
        """Who is muted until when: ordinal -> moment."""
        return {ordinal: until for ordinal, until in self._until.items() if until > now_ms}

    def mute(self, ordinals: Iterable[int], until: int, now_ms: int) -> list[int]:
        """Mute these until a moment, or no longer if it has passed; returns for whom this is a change."""
        wanted = until if until > now_ms else 0
        changed = [ordinal for ordinal in dict.fromkeys(ordinals) if self.muted(ordinal, now_ms) != wanted]
        for ordinal in changed:
            if wanted:
                self._until[ordinal] = wanted
                self._rows.put(keys.u32(ordinal), keys.u64(wanted))
        if not wanted:
            self.forget(changed)
        return changed

    def drop_expired(self, now_ms: int) -> None:
        """Forget those whose time is over."""
        self.forget([ordinal for ordinal, until in self._until.items() if until <= now_ms])

    def forget(self, ordinals: Iterable[int]) -> None:
        """These are members no more, or muted no more."""
        for ordinal in ordinals:
            if self._until.pop(ordinal, None) is not None:
                self._rows.delete(keys.u32(ordinal))

    @property
    def memory_bytes(self) -> int:
        """About what they take in memory."""
        return _BYTES_PER_MUTE * len(self._until)
