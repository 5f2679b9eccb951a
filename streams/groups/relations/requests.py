"""How users become members of their own accord or on being asked: joining, invites, applications, invite codes."""

from __future__ import annotations

from typing import Final

import msgspec

from streams.groups.desk import Desk
from streams.groups.refusal import RefusalError
from streams.groups.relations.base import Handler, publish, require
from streams.groups.relations.members import changeable, check_room, enter
from tables.expiries import Expiry, ExpiryKind
from tables.groups import Group
from tables.requests import Request, RequestKind
from topics import limits
from topics.entities import Code
from topics.events import ApplicationEnded, Applied, CodeCreated, CodeEnded, End, Invited, InviteEnded
from topics.relations import (
    AnswerApplication,
    AnswerInvite,
    Apply,
    Asked,
    CreateCode,
    Invite,
    Join,
    RevokeCode,
    Withdraw,
)


def expire(desk: Desk, now_ms: int) -> None:
    """End what has had its time, and forget what ended long ago; a bounded number a batch."""
    for due in desk.expiries.take(now_ms, limits.EXPIRIES):
        desk.now_ms = max(desk.now_ms, now_ms)
        app, _, name = due.group.decode().partition(":")
        group = desk.groups.touch(app, name)
        if not group.alive or group.first != due.first:
            continue
        if due.kind == "code":
            if (code := group.codes.get(due.id)) is not None:
                _end_code(desk, group, None, code)
        elif (request := group.requests.get(due.kind, due.id)) is not None:
            if request.end is None:
                _end(desk, group, None, due.kind, due.id, request, "expired")
            else:
                group.requests.forget(due.kind, due.id)


def _join(desk: Desk, group: Group, command: Join) -> int:
    changeable(group)
    if command.by not in {None, command.user}:
        raise RefusalError("not_permitted")
    if group.members.ordinal_of(command.user) is not None:
        return 0
    _keep_out_banned(desk, group, command.user)
    if command.code is None and command.by is not None and group.profile.join_mode != "open":
        raise RefusalError("not_permitted")
    code = _live_code(desk, group, command.code) if command.code is not None else None
    check_room(desk, group, [command.user])
    if code is None:
        return enter(desk, group, command, [command.user], "joined", None)
    if code.uses > 1:
        group.codes.put(msgspec.structs.replace(code, uses=code.uses - 1))
    else:
        _end_code(desk, group, command, code)
    return enter(desk, group, command, [command.user], "code", code.by)


def _invite(desk: Desk, group: Group, command: Invite) -> int:
    changeable(group)
    require(group, command.by, "invite")
    return _ask(desk, group, command, "invite", command.invite)


def _apply(desk: Desk, group: Group, command: Apply) -> int:
    changeable(group)
    if command.by not in {None, command.user} or (command.by is not None and group.profile.join_mode != "apply"):
        raise RefusalError("not_permitted")
    return _ask(desk, group, command, "application", command.application)


def _ask(desk: Desk, group: Group, command: Invite | Apply, kind: RequestKind, name: str) -> int:
    """Open an invite or application, unless it is there already or nothing would come of it."""
    if (known := group.requests.get(kind, name)) is not None:
        if (known.user, known.by) == (command.user, command.by):
            return 0  # this command came before
        raise RefusalError("exists_already")
    if group.members.ordinal_of(command.user) is not None:
        return 0
    _keep_out_banned(desk, group, command.user)
    other = group.requests.of_user(kind, command.user)
    if other is not None and other.request.open(desk.now_ms):
        raise RefusalError("exists_already")
    limit = desk.policies.of(group.app).open_requests
    if other is None and len(group.requests) >= limit:
        raise RefusalError("limit_reached", limit)
    expires_at = _expires_at(desk, group, command.expires_at)
    if other is not None:
        _end(desk, group, None, kind, other.id, other.request, "expired")
    request = Request(command.user, command.by, desk.now_ms, expires_at, command.text)
    group.requests.add(kind, name, request)
    desk.expiries.add(expires_at, _expiry(group, kind, name))
    shared = {"user": request.user, "expires_at": expires_at, "text": request.text}
    if kind == "invite":
        publish(desk, group, command, Invited, invite=name, **shared)
    else:
        publish(desk, group, command, Applied, application=name, **shared)
    return 1


def _answer_invite(desk: Desk, group: Group, command: AnswerInvite) -> int:
    request = _known(group, "invite", command.invite)
    if command.by not in {None, request.user}:
        raise RefusalError("not_permitted")
    return _answer(desk, group, command, "invite", command.invite, request)


def _answer_application(desk: Desk, group: Group, command: AnswerApplication) -> int:
    require(group, command.by, "approve")
    request = _known(group, "application", command.application)
    return _answer(desk, group, command, "application", command.application, request)


def _answer(
    desk: Desk,
    group: Group,
    command: AnswerInvite | AnswerApplication,
    kind: RequestKind,
    name: str,
    request: Request,
) -> int:
    """Accept or decline; the same answer given twice is none."""
    end: End = "accepted" if command.accept else "declined"
    if request.end == end:
        return 0
    if not request.open(desk.now_ms):
        raise RefusalError("unknown_request")
    if command.accept:
        _keep_out_banned(desk, group, request.user)
        check_room(desk, group, [request.user])
    _end(desk, group, command, kind, name, request, end)
    if command.accept:
        inviter = request.by if kind == "invite" else command.by
        enter(desk, group, command, [request.user], kind, inviter)
    return 1


def _withdraw(desk: Desk, group: Group, command: Withdraw) -> int:
    if (command.invite is None) == (command.application is None):
        raise RefusalError("bad_command")
    kind: RequestKind = "application" if command.invite is None else "invite"
    name = command.invite or command.application or ""
    request = _known(group, kind, name)
    if command.by not in {None, request.by if kind == "invite" else request.user}:
        require(group, command.by, "manage_members" if kind == "invite" else "approve")
    if request.end == "withdrawn":
        return 0
    if not request.open(desk.now_ms):
        raise RefusalError("unknown_request")
    _end(desk, group, command, kind, name, request, "withdrawn")
    return 1


def _create_code(desk: Desk, group: Group, command: CreateCode) -> int:
    changeable(group)
    require(group, command.by, "manage_group")
    if (known := group.codes.get(command.code)) is not None:
        if (known.uses, known.by) == (command.uses, command.by):
            return 0  # this command came before
        raise RefusalError("exists_already")
    limit = desk.policies.of(group.app).open_codes
    if len(group.codes) >= limit:
        raise RefusalError("limit_reached", limit)
    expires_at = _expires_at(desk, group, command.expires_at)
    code = Code(command.code, command.uses, expires_at, command.by)
    group.codes.put(code)
    desk.expiries.add(expires_at, _expiry(group, "code", code.code))
    publish(desk, group, command, CodeCreated, code=code)
    return 1


def _revoke_code(desk: Desk, group: Group, command: RevokeCode) -> int:
    require(group, command.by, "manage_group")
    _end_code(desk, group, command, _live_code(desk, group, command.code))
    return 1


def _live_code(desk: Desk, group: Group, name: str) -> Code:
    code = group.codes.get(name)
    if code is None or code.expires_at <= desk.now_ms:
        raise RefusalError("unknown_code")
    return code


def _end_code(desk: Desk, group: Group, command: Asked | None, code: Code) -> None:
    group.codes.end(code.code)
    desk.expiries.drop(code.expires_at, _expiry(group, "code", code.code))
    publish(desk, group, command, CodeEnded, code=code.code)


def _known(group: Group, kind: RequestKind, name: str) -> Request:
    if (request := group.requests.get(kind, name)) is None:
        raise RefusalError("unknown_request")
    return request


def _end(
    desk: Desk, group: Group, command: Asked | None, kind: RequestKind, name: str, request: Request, end: End
) -> None:
    """It is no longer open; it stays known for a while."""
    expiry = _expiry(group, kind, name)
    group.requests.end(kind, name, request, end, desk.now_ms)
    desk.expiries.drop(request.expires_at, expiry)
    desk.expiries.add(desk.now_ms + limits.REQUEST_ENDED_MS, expiry)
    if kind == "invite":
        publish(desk, group, command, InviteEnded, invite=name, user=request.user, end=end)
    else:
        publish(desk, group, command, ApplicationEnded, application=name, user=request.user, end=end)


def _expires_at(desk: Desk, group: Group, wanted: int | None) -> int:
    """When a request or code ends: as wished, but no later than the app's policy lets it.

    Raises:
        RefusalError: bad_command: that has passed.
    """
    latest = desk.now_ms + desk.policies.of(group.app).request_ms
    if wanted is not None and wanted <= desk.now_ms:
        raise RefusalError("bad_command")
    return latest if wanted is None else min(wanted, latest)


def _expiry(group: Group, kind: ExpiryKind, name: str) -> Expiry:
    return Expiry(group.key, group.first, kind, name)


def _keep_out_banned(desk: Desk, group: Group, user: str) -> None:
    if group.bans.banned(user, desk.now_ms):
        raise RefusalError("banned")


HANDLERS: Final[dict[type, Handler]] = {
    Join: _join,
    Invite: _invite,
    AnswerInvite: _answer_invite,
    Apply: _apply,
    AnswerApplication: _answer_application,
    Withdraw: _withdraw,
    CreateCode: _create_code,
    RevokeCode: _revoke_code,
}
