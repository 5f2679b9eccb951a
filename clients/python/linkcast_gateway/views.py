"""Pulls: what a client lacks, from the pipeline's web views. The token stays here; pages never see it."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout

from linkcast_gateway.wire import Message

_TIMEOUT: Final = ClientTimeout(total=10)
_MOST: Final = 200


class _Page(msgspec.Struct):
    """What a view answers."""

    messages: list[Message]


class PullError(Exception):
    """A pull failed; its text is a code: `not_stored_yet` means soon again, `away` that no view answered."""


class Views:
    """The views of the pipeline; any of them answers for every channel.

    Args:
        url: where one is.
        token: what it wants to see.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._http: ClientSession | None = None

    async def close(self) -> None:
        """Let go of connections."""
        if self._http is not None:
            await self._http.close()

    async def messages(
        self, app: str, group: str, channel: str, after: int | None, before: int | None, limit: int
    ) -> list[Message]:
        """Messages of a channel in the order of seq: the first ones after a seq, or the last ones before one.

        Raises:
            PullError: there is no answer, or it is an error.
        """
        if self._http is None:
            self._http = ClientSession(headers=self._headers, timeout=_TIMEOUT)
        params = {"limit": str(max(1, min(limit, _MOST)))}
        if after is not None:
            params["after"] = str(after)
        if before is not None:
            params["before"] = str(before)
        path = f"{self._url}/v1/apps/{app}/groups/{group}/channels/{channel}/messages"
        try:
            async with self._http.get(path, params=params) as answer:
                body = await answer.read()
                if not answer.ok:
                    raise PullError(_code(body) or f"http_{answer.status}")
        except (ClientError, TimeoutError):
            raise PullError("away") from None
        try:
            return sorted(msgspec.json.decode(body, type=_Page).messages, key=lambda message: message.seq)
        except msgspec.DecodeError:
            raise PullError("not_understood") from None


def _code(body: bytes) -> str | None:
    """The code in an error's JSON, if there is one."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    code = found.get("code") or found.get("error") if isinstance(found, dict) else None
    return code if isinstance(code, str) else None
