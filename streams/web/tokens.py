"""Bearer tokens: JSON Web Tokens, signed with one of the cluster's keys (HS256).

A token names its app, the role that its holder has there, and who that is. `worker` is what one worker shows another,
on behalf of whoever asked it. Its header names the key (`kid`): the first key signs, every key is accepted, so that
keys are changed without a moment in which a good token is refused.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, cast, get_args

import jwt
import msgspec

from streams.settings import Settings
from streams.web.problems import ProblemError
from topics import limits
from topics.wire import Id

Caller = Literal["user", "gateway", "admin"]
Role = Literal["user", "gateway", "admin", "worker"]

_ALGORITHM: Final = "HS256"
_WORKER_S: Final = 30.0
_CLAIMS: Final = ("app", "role", "sub", "aud", "iat", "exp")


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


class _Payload(msgspec.Struct, frozen=True):
    app: Id
    role: Role
    sub: Id
    iat: int | float
    exp: int | float
    behalf: Caller | None = None


class Tokens:
    """Makes and reads the tokens of one cluster.

    Args:
        keys: secrets by name; the first signs.
        audience: the cluster's name: a token of another cluster is none, even where a key is shared.
    """

    def __init__(self, keys: Mapping[str, str], audience: str) -> None:
        self._keys = dict(keys)
        self._audience = audience

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of the settings' cluster."""
        return cls(settings.signing_keys(), settings.cluster)

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the keys; the first signs."""
        return tuple(self._keys)

    def mint(self, claims: Claims, lasts_s: float, key: str | None = None) -> str:
        """A token that is good for so long from now, signed with the first key unless another is named."""
        now = int(time.time())
        payload: dict[str, Any] = {"app": claims.app, "role": claims.role, "sub": claims.sub}
        if claims.behalf is not None:
            payload["behalf"] = claims.behalf
        payload |= {"aud": self._audience, "iat": now, "exp": int(now + lasts_s)}
        kid = key or self.keys[0]
        return jwt.encode(payload, self._keys[kid], _ALGORITHM, {"kid": kid})

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
        payload = self._payload(token.strip())
        if payload.exp - payload.iat > limits.TOKEN_S or (payload.role == "worker") != (
            payload.behalf in get_args(Caller)
        ):
            raise ProblemError("bad_token")
        return Claims(payload.app, payload.role, payload.sub, payload.behalf)

    def _payload(self, token: str) -> _Payload:
        """What stands in it, once its signature is known to be one of ours.

        Raises:
            ProblemError: bad_token.
        """
        try:
            # The header says which key, never which algorithm.
            secret = self._keys[jwt.get_unverified_header(token)["kid"]]
            payload = jwt.decode(
                token,
                secret,
                [_ALGORITHM],
                options={"require": list(_CLAIMS), "strict_aud": True},
                audience=self._audience,
                leeway=limits.TOKEN_LEEWAY_S,
            )
            return msgspec.convert(payload, _Payload)
        except jwt.ExpiredSignatureError:
            raise ProblemError("bad_token", "It expired. Get a new token.") from None
        except jwt.ImmatureSignatureError:
            raise ProblemError("bad_token", "It is not valid yet. Set the clocks.") from None
        except (jwt.InvalidTokenError, msgspec.ValidationError, KeyError, TypeError, OverflowError):
            raise ProblemError("bad_token") from None
