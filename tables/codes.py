"""Invite codes of a group. Few, so all are in memory."""

from __future__ import annotations

import msgspec

from tables import keys
from tables.parts import PartRows
from tables.rows import Rows
from topics.entities import Code

_BYTES_PER_CODE = 500

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Code).decode


class Codes:
    """The invite codes of one group's life."""

    def __init__(self, rows: Rows, group: bytes, first: int) -> None:
        self._rows = PartRows(rows, keys.CODE, group, first)
        self._codes = {key.decode(): _decode(value) for key, value in self._rows.scan()}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._codes)

    def get(self, code: str) -> Code | None:
        """The code, if it has not ended."""
        return self._codes.get(code)

    def all(self) -> list[Code]:
        """All of them, by name."""
        return [self._codes[name] for name in sorted(self._codes)]

    def put(self, code: Code) -> None:
        """A code is there, or was used."""
        self._codes[code.code] = code
        self._rows.put(code.code.encode(), _encode(code))

    def end(self, code: str) -> None:
        """A code ended."""
        del self._codes[code]
        self._rows.delete(code.encode())

    @property
    def memory_bytes(self) -> int:
        """About what they take in memory."""
        return _BYTES_PER_CODE * len(self._codes)
