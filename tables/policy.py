"""Which apps have a policy of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from topics.policy import Policy

_USUAL: Final = Policy()


class Policies:
    """The policy of each app."""

    def __init__(self, by_app: Mapping[str, Policy]) -> None:
        self._by_app = dict(by_app)

    def of(self, app: str) -> Policy:
        """The app's policy; the usual one where it has none of its own."""
        return self._by_app.get(app, _USUAL)


NO_POLICIES: Final = Policies({})
