"""Why a send or a command is refused; raised before it has changed anything."""

from __future__ import annotations

from topics.answers import Code


class RefusalError(Exception):
    """It is refused.

    Attributes:
        code: why.
        limit: the limit that was passed, where there is one.
    """

    def __init__(self, code: Code, limit: int | None = None) -> None:
        super().__init__(code)
        self.code: Code = code
        self.limit = limit
