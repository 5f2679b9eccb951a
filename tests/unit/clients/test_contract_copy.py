"""The client library imports nothing of the pipeline: these say when its copy of the contract is stale."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import linkcast_gateway as ours
from linkcast_gateway import answers, wire
from streams.web import answers as web_answers
from streams.web import relation_answers
from topics import entities, limits
from topics.answers import Accepted, AnswerLot, Applied, Done, Refused, Registered
from topics.deliveries import (
    AudienceDelta,
    AudienceSet,
    Background,
    Bound,
    Changed,
    DeliveryLot,
    Drive,
    Ended,
    Head,
    Mention,
    NoticeLot,
    PresenceOut,
    Resumed,
    SessionLot,
    SignalOut,
    Subscribed,
    Turned,
    Unbound,
    Unread,
)
from topics.links import Void
from topics.messages import Message
from topics.notices import Kept, NoticeOut
from topics.presence import Presence
from topics.subscriptions import Wanted
from topics.versions import AnswersVersion, DeliveriesVersion, LinksVersion


def test_its_limits_are_the_contracts() -> None:
    assert (ours.BEAT_MS, ours.TIMEOUT_MS) == (limits.LINK_BEAT_MS, limits.LINK_TIMEOUT_MS)
    assert (ours.BODY_BYTES, ours.DEDUPE_WINDOW_MS) == (limits.BODY_BYTES, limits.DEDUPE_WINDOW_MS)
    assert ours.PULL_MESSAGES == limits.PULL_MESSAGES
    assert (ours.MENTIONS, ours.STATUS_CHARS, ours.RESUME_MS) == (
        limits.MENTIONS,
        limits.STATUS_CHARS,
        limits.RESUME_MS,
    )
    assert ours.SUBSCRIPTIONS_PER_CALL == limits.SUBSCRIPTIONS_PER_CALL
    assert ours.BEAT_MS >= limits.ACK_MS  # it acknowledges with its beats


@pytest.mark.parametrize("version", [DeliveriesVersion, LinksVersion, AnswersVersion])
def test_its_schema_version_is_the_contracts_newest_of_what_it_reads(version: Any) -> None:
    newest = msgspec.inspect.type_info(version)
    assert isinstance(newest, msgspec.inspect.IntType)
    assert newest.le == wire.SCHEMA


@pytest.mark.parametrize(
    ("copy", "original"),
    [
        (wire.Message, Message),
        (wire.Bound, Bound),
        (wire.Unbound, Unbound),
        (wire.Drive, Drive),
        (wire.Background, Background),
        (wire.Unread, Unread),
        (wire.Mention, Mention),
        (wire.Wanted, Wanted),
        (wire.Turned, Turned),
        (wire.Subscribed, Subscribed),
        (wire.SessionLot, SessionLot),
        (wire.Resumed, Resumed),
        (wire.Ended, Ended),
        (wire.Presence, Presence),
        (wire.PresenceOut, PresenceOut),
        (wire.Done, Done),
        (wire.Signal, SignalOut),
        (wire.Head, Head),
        (wire.AudienceSet, AudienceSet),
        (wire.AudienceDelta, AudienceDelta),
        (wire.Changed, Changed),
        (wire.Notice, Kept),
        (wire.NoticeOut, NoticeOut),
        (wire.NoticeLot, NoticeLot),
        (wire.Accepted, Accepted),
        (wire.Refused, Refused),
        (wire.Applied, Applied),
        (wire.Registered, Registered),
        (wire.Lot, DeliveryLot),
        (wire.Void, Void),
        (wire.AnswerLot, AnswerLot),
    ],
)
def test_its_records_are_named_as_the_contracts(copy: type[msgspec.Struct], original: type[msgspec.Struct]) -> None:
    assert copy.__struct_config__.tag == original.__struct_config__.tag
    assert set(copy.__struct_encode_fields__) <= set(original.__struct_encode_fields__)


@pytest.mark.parametrize(
    ("copy", "original"),
    [
        (answers.Member, relation_answers.Member),
        (answers.Members, relation_answers.MembersAnswer),
        (answers.MemberOf, relation_answers.MemberAnswer),
        (answers.Channel, entities.Channel),
        (answers.ChannelSeen, relation_answers.ChannelSeen),
        (answers.Channels, relation_answers.ChannelsAnswer),
        (answers.Role, entities.Role),
        (answers.RoleHeld, relation_answers.RoleHeld),
        (answers.Roles, relation_answers.RolesAnswer),
        (answers.Decided, relation_answers.Decided),
        (answers.Access, relation_answers.AccessAnswer),
        (answers.Changes, relation_answers.ChangesAnswer),
        (answers.Notices, web_answers.NoticesAnswer),
    ],
)
def test_its_answers_are_read_as_the_views_give_them(
    copy: type[msgspec.Struct], original: type[msgspec.Struct]
) -> None:
    theirs = {field.encode_name: field for field in msgspec.structs.fields(original)}
    for field in msgspec.structs.fields(copy):
        assert field.encode_name in theirs
        omitted = original.__struct_config__.omit_defaults and not theirs[field.encode_name].required
        assert not (omitted and field.required), f"{field.name} may be absent"
        if omitted and theirs[field.encode_name].default is not msgspec.NODEFAULT:
            mine, other = field.default, theirs[field.encode_name].default
            assert mine == other or mine is msgspec.NODEFAULT or (other is None and mine in {"", None})
