"""How users come in: joining, invites, applications, codes."""

from __future__ import annotations

from typing import Final

from jobs.verify.lives import Request, RequestKind
from jobs.verify.verdicts.case import Case, Judge
from topics.entities import Code as InviteCode
from topics.events import End
from topics.relations import AnswerApplication, AnswerInvite, Apply, CreateCode, Invite, Join, RevokeCode, Withdraw


def _join(case: Case, command: Join) -> None:
    case.refuse("direct_is_fixed", when=case.life.kind == "direct")
    case.refuse("not_permitted", when=command.by not in {None, command.user})
    if case.member(command.user):
        return
    case.room_for([command.user])
    case.refuse("banned", when=bool(case.banned_until(command.user)))
    if command.code is None:
        closed = case.life.profile.at(case.version).join_mode != "open"
        case.refuse("not_permitted", when=command.by is not None and closed)
        case.tell("MembersAdded", users=[command.user], how="joined")
        return
    minted = case.code(command.code)
    case.refuse("unknown_code", when=minted is None or minted.code.expires_at <= case.at_ms)
    if minted is not None and case.uses(minted) <= 1:
        case.tell("CodeEnded", code=command.code)
    case.tell("MembersAdded", users=[command.user], how="code")


def _invite(case: Case, command: Invite) -> None:
    case.refuse("direct_is_fixed", when=case.life.kind == "direct")
    case.need("invite")
    if _ask(case, command, "invite", command.invite):
        case.tell("Invited", invite=command.invite, user=command.user, text=command.text)


def _apply(case: Case, command: Apply) -> None:
    case.refuse("direct_is_fixed", when=case.life.kind == "direct")
    closed = case.life.profile.at(case.version).join_mode != "apply"
    case.refuse("not_permitted", when=command.by is not None and (closed or command.by != command.user))
    if _ask(case, command, "application", command.application):
        case.tell("Applied", application=command.application, user=command.user, text=command.text)


def _ask(case: Case, command: Invite | Apply, kind: RequestKind, name: str) -> bool:
    """Whether a new one is opened, unless something speaks against it."""
    if (known := case.request(kind, name)) is not None:
        case.refuse("exists_already", when=(known.user, known.by) != (command.user, command.by))
        return False
    if case.member(command.user):
        return False
    case.refuse("banned", when=bool(case.banned_until(command.user)))
    held = {key: one.at(case.version) for key, one in case.life.requests.items()}
    waiting = [(key, one) for key, one in held.items() if one is not None and one.end is None]
    own = [one for (of, _), one in waiting if of == kind and one.user == command.user]
    case.refuse("exists_already", when=any(map(case.is_open, own)))
    case.room(len(waiting) + (not own), case.policy.open_requests)
    case.refuse("bad_command", when=command.expires_at is not None and command.expires_at <= case.at_ms)
    return True


def _answer_invite(case: Case, command: AnswerInvite) -> None:
    request = case.request("invite", command.invite)
    case.refuse("not_permitted", when=request is not None and command.by not in {None, request.user})
    _answer(case, command, request, "InviteEnded", invite=command.invite)


def _answer_application(case: Case, command: AnswerApplication) -> None:
    case.need("approve")
    request = case.request("application", command.application)
    _answer(case, command, request, "ApplicationEnded", application=command.application)


def _answer(
    case: Case, command: AnswerInvite | AnswerApplication, request: Request | None, kind: str, **named: str
) -> None:
    end: End = "accepted" if command.accept else "declined"
    case.refuse("unknown_request", when=request is None)
    if request is None or request.end == end:
        return
    case.refuse("unknown_request", when=not case.is_open(request))
    if command.accept:
        case.room_for([request.user])
        case.refuse("banned", when=bool(case.banned_until(request.user)))
    case.tell(kind, user=request.user, end=end, **named)
    if command.accept and not case.member(request.user):
        case.tell("MembersAdded", users=[request.user], how=next(iter(named)))


def _withdraw(case: Case, command: Withdraw) -> None:
    case.refuse("bad_command", when=(command.invite is None) == (command.application is None))
    kind: RequestKind = "application" if command.invite is None else "invite"
    name = command.invite or command.application or ""
    request = case.request(kind, name)
    case.refuse("unknown_request", when=request is None)
    if request is None:
        return
    if command.by not in {None, request.by if kind == "invite" else request.user}:
        case.need("manage_members" if kind == "invite" else "approve")
    if request.end == "withdrawn":
        return
    case.refuse("unknown_request", when=not case.is_open(request))
    ended = "InviteEnded" if kind == "invite" else "ApplicationEnded"
    case.tell(ended, user=request.user, end="withdrawn", **{kind: name})


def _create_code(case: Case, command: CreateCode) -> None:
    case.refuse("direct_is_fixed", when=case.life.kind == "direct")
    case.need("manage_group")
    if (known := case.code(command.code)) is not None:
        case.refuse("exists_already", when=(case.uses(known), known.code.by) != (command.uses, command.by))
        return
    case.refuse("bad_command", when=command.expires_at is not None and command.expires_at <= case.at_ms)
    case.room(sum(case.code(name) is not None for name in case.life.codes) + 1, case.policy.open_codes)
    case.tell("CodeCreated", code=InviteCode(command.code, command.uses, 0, command.by))


def _revoke_code(case: Case, command: RevokeCode) -> None:
    case.need("manage_group")
    minted = case.code(command.code)
    case.refuse("unknown_code", when=minted is None or minted.code.expires_at <= case.at_ms)
    case.tell("CodeEnded", code=command.code)


JUDGES: Final[dict[type, Judge]] = {
    Join: _join,
    Invite: _invite,
    Apply: _apply,
    AnswerInvite: _answer_invite,
    AnswerApplication: _answer_application,
    Withdraw: _withdraw,
    CreateCode: _create_code,
    RevokeCode: _revoke_code,
}
