"""The policy of each app, as one partition knows it."""

from __future__ import annotations

from typing import Final

import msgspec

from tables import keys
from tables.rows import Rows
from topics.policy import Policy

_USUAL: Final = Policy()

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Policy).decode


class Policies:
    """The policy of each app. An app without one has the usual policy, and no row."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._by_app = {key[1:].decode(): _decode(value) for key, value in rows.scan(keys.POLICY)}

    def of(self, app: str) -> Policy:
        """The app's policy; the usual one where it has none of its own."""
        return self._by_app.get(app, _USUAL)

    def set(self, app: str, policy: Policy) -> None:
        """The app has this policy from here on."""
        if policy == self.of(app):
            return
        if policy == _USUAL:
            del self._by_app[app]
            self._rows.delete(keys.POLICY + app.encode())
        else:
            self._by_app[app] = policy
            self._rows.put(keys.POLICY + app.encode(), _encode(policy))
