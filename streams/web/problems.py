"""What a view answers when it has no answer: application/problem+json (RFC 9457) with a `code` that programs read."""

from __future__ import annotations

from typing import Final, Literal

from aiohttp import web

from topics.codec import encode

Code = Literal[
    "no_token",
    "bad_token",
    "not_allowed",
    "bad_request",
    "not_found",
    "method_not_allowed",
    "request_too_large",
    "unknown_group",
    "not_a_member",
    "owner_unknown",
    "not_stored_yet",
    "too_slow",
    "failed",
]

#: What a code means: (status, title).
CODES: Final[dict[Code, tuple[int, str]]] = {
    "no_token": (401, "A bearer token is needed."),
    "bad_token": (401, "The token is not valid: forged, expired or incomplete."),
    "not_allowed": (403, "The token's role may not ask this."),
    "bad_request": (400, "A parameter has no usable value."),
    "not_found": (404, "There is nothing here."),
    "method_not_allowed": (405, "This is only to be read."),
    "request_too_large": (413, "The request is too large."),
    "unknown_group": (404, "No such group or channel in this app."),
    "not_a_member": (403, "The token's user is not a member of the group."),
    "owner_unknown": (503, "The partition is changing hands. Ask again."),
    "not_stored_yet": (503, "Some of these messages are on their way into the stores. Ask again."),
    "too_slow": (503, "It took too long. Ask again."),
    "failed": (500, "A defect of the pipeline."),
}
_RETRY_AFTER_S: Final = 1


class ProblemError(Exception):
    """A view can't answer, and says why.

    Attributes:
        code: why; see CODES.
        detail: what exactly, for people; never a secret.
    """

    def __init__(self, code: Code, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code: Code = code
        self.detail = detail

    @property
    def status(self) -> int:
        """The HTTP status."""
        return CODES[self.code][0]

    def response(self) -> web.Response:
        """The answer."""
        status, title = CODES[self.code]
        body = {"type": "about:blank", "title": title, "status": status, "code": self.code}
        headers: dict[str, str] = {}
        if self.detail:
            body["detail"] = self.detail
        if status == web.HTTPServiceUnavailable.status_code:
            headers["Retry-After"] = str(_RETRY_AFTER_S)
        if status == web.HTTPUnauthorized.status_code:
            headers["WWW-Authenticate"] = "Bearer"
        return web.Response(body=encode(body), status=status, headers=headers, content_type="application/problem+json")


_BY_STATUS: Final[dict[int, Code]] = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}


def of_http_error(error: web.HTTPException) -> ProblemError:
    """What aiohttp itself refuses, in our form."""
    return ProblemError(_BY_STATUS.get(error.status, "bad_request"))
