"""What a view answers when it has no answer: application/problem+json (RFC 9457) with a `code` that programs read."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import msgspec
from aiohttp import web

from topics.codec import encode

Code = Literal[
    "no_token",
    "bad_token",
    "not_allowed",
    "bad_request",
    "bad_cursor",
    "not_found",
    "method_not_allowed",
    "request_too_large",
    "unknown_group",
    "unknown_user",
    "unknown_session",
    "unknown_link",
    "unknown_channel",
    "unknown_category",
    "unknown_role",
    "unknown_member",
    "unknown_change_set",
    "not_permitted",
    "too_many_to_sort",
    "owner_unknown",
    "not_stored_yet",
    "too_slow",
    "failed",
]


class Meaning(NamedTuple):
    """What a code means.

    Attributes:
        status: the HTTP status it comes with.
        title: what is wrong, in short; the same each time.
        advice: what to do about it.
    """

    status: int
    title: str
    advice: str


_AGAIN: Final = "Ask again after `Retry-After` seconds."

#: What each code means.
CODES: Final[dict[Code, Meaning]] = {
    "no_token": Meaning(401, "A bearer token is needed.", "Send `Authorization: Bearer <token>`."),
    "bad_token": Meaning(
        401,
        "The token is not valid: forged, expired, not yet valid, incomplete, or of a key not in use.",
        "Get a new token.",
    ),
    "not_allowed": Meaning(403, "The token's role may not ask this.", "Ask with a token of another role."),
    "bad_request": Meaning(400, "A parameter has no usable value, or is not one of this view.", "Correct the request."),
    "bad_cursor": Meaning(400, "The cursor is none of this list.", "Begin with the first page, without a cursor."),
    "not_found": Meaning(404, "There is nothing here.", "The paths that exist are listed in `/openapi.json`."),
    "method_not_allowed": Meaning(405, "This is only to be read.", "Use GET."),
    "request_too_large": Meaning(413, "The request is too large.", "Views take no body: send none."),
    "unknown_group": Meaning(
        404,
        "No such group or channel in this app, for this asker.",
        "Check the names. A user's token sees the groups that the user is a member of.",
    ),
    "unknown_user": Meaning(
        404, "No such user in this app, for this asker.", "Check the name. A user's token sees its own user only."
    ),
    "unknown_session": Meaning(404, "The user has no such session.", "Ask for the user's sessions anew."),
    "unknown_link": Meaning(404, "No session on this link listens to the group.", "Ask for the group's Link map anew."),
    "unknown_channel": Meaning(404, "No such channel in this group, for this asker.", "Ask which channels there are."),
    "unknown_category": Meaning(404, "No such category in this group.", "Ask which categories there are."),
    "unknown_role": Meaning(404, "No such role in this group.", "Ask which roles there are."),
    "unknown_member": Meaning(404, "The user is not a member of this group.", "Check the name."),
    "unknown_change_set": Meaning(
        404, "No part of such a change came of late.", "Check its name; the progress of old ones is forgotten."
    ),
    "not_permitted": Meaning(403, "The user may not see this.", "Ask with a token of a user who may."),
    "too_many_to_sort": Meaning(
        400, "Too many members have a profile to be sorted by weight.", "Ask in the order of joining."
    ),
    "owner_unknown": Meaning(503, "The worker that knows is away, or the partition is changing hands.", _AGAIN),
    "not_stored_yet": Meaning(503, "Some of these messages are on their way into the stores.", _AGAIN),
    "too_slow": Meaning(503, "It took too long.", _AGAIN),
    "failed": Meaning(500, "A defect of the pipeline.", "Report it with the worker's log of this moment."),
}
_RETRY_AFTER_S: Final = 1


class Problem(msgspec.Struct, frozen=True):
    """Why there is no answer (RFC 9457).

    Attributes:
        type: names the kind of problem, one a code.
        title: what is wrong, in short.
        status: the HTTP status.
        detail: what exactly, or what to do.
        code: for programs.
    """

    type: str
    title: str
    status: int
    detail: str
    code: Code


class ProblemError(Exception):
    """A view can't answer, and says why.

    Attributes:
        code: why; see CODES.
        detail: what exactly, for people; never a secret. The code's advice where there is nothing more to say.
        allow: the methods that are allowed, where another was used.
    """

    def __init__(self, code: Code, detail: str = "", allow: str = "") -> None:
        super().__init__(detail or code)
        self.code: Code = code
        self.detail = detail or CODES[code].advice
        self.allow = allow

    @property
    def status(self) -> int:
        """The HTTP status."""
        return CODES[self.code].status

    @property
    def problem(self) -> Problem:
        """What is answered."""
        status, title, _ = CODES[self.code]
        return Problem(f"urn:linkcast:problem:{self.code}", title, status, self.detail, self.code)

    def response(self) -> web.Response:
        """The answer."""
        status = self.status
        headers: dict[str, str] = {}
        if status == web.HTTPServiceUnavailable.status_code:
            headers["Retry-After"] = str(_RETRY_AFTER_S)
        if status == web.HTTPUnauthorized.status_code:
            headers["WWW-Authenticate"] = "Bearer"
        if self.allow:
            headers["Allow"] = self.allow
        body = encode(self.problem)
        return web.Response(body=body, status=status, headers=headers, content_type="application/problem+json")


_BY_STATUS: Final[dict[int, Code]] = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}


def of_http_error(error: web.HTTPException) -> ProblemError:
    """What aiohttp itself refuses, in our form."""
    return ProblemError(_BY_STATUS.get(error.status, "bad_request"), allow=error.headers.get("Allow", ""))
