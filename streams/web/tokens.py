"""Bearer tokens: JSON Web Tokens signed with the cluster's secret (HS256).

A token names its app, the role that its holder has there, and who that is. `worker` is what one worker shows another,
on behalf of whoever asked it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

import jwt
import msgspec

from streams.web.problems import ProblemError
from topics.wire import Id

Caller = Literal["user", "gateway", "admin"]
Role = Literal["user", "gateway", "admin", "worker"]

_ALGORITHM: Final = "HS256"
_WORKER_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Claims:
    """Who asks.

    Attributes:
        app: the only app that the holder sees.
        role: user (sees what that user may see), gateway or admin (the whole app), or worker.
        sub: the user, the gateway, the admin.
        behalf: for a worker: the role of whoever asked it.
    """

    app: Id
    role: Role
    sub: Id
    behalf: Caller | None = None

    @property
    def caller(self) -> Caller:
        """The role of who asked first."""
        return self.behalf or cast("Caller", self.role)


class Tokens:
    """Makes and reads the tokens of one cluster."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def mint(self, claims: Claims, lasts_s: float) -> str:
        """A token that is good for so long from now."""
        payload: dict[str, Any] = {"app": claims.app, "role": claims.role, "sub": claims.sub}
        if claims.behalf is not None:
            payload["behalf"] = claims.behalf
        return jwt.encode(payload | {"exp": int(time.time() + lasts_s)}, self._secret, _ALGORITHM)

    def for_worker(self, asker: Claims) -> str:
        """What this worker shows another on behalf of `asker`."""
        return self.mint(Claims(asker.app, "worker", asker.sub, asker.caller), _WORKER_S)

    def read(self, header: str | None) -> Claims:
        """Who sent this Authorization header.

        Raises:
            ProblemError: nobody that we know.
        """
        scheme, _, token = (header or "").partition(" ")
        if not header or scheme.lower() != "bearer":
            raise ProblemError("no_token")
        try:
            payload = jwt.decode(
                token.strip(), self._secret, [_ALGORITHM], options={"require": ["app", "role", "sub", "exp"]}
            )
            claims = msgspec.convert({key: payload.get(key) for key in ("app", "role", "sub", "behalf")}, Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError):
            raise ProblemError("bad_token") from None
        if (claims.role == "worker") != (claims.behalf in get_args(Caller)):
            raise ProblemError("bad_token")
        return claims
