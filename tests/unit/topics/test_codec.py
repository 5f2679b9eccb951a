"""Any bytes give a record or `Malformed`; what is accepted can be read by anyone."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.outbox import history_head
from tests.records import JSON, records
from topics import catalog, codec, limits
from topics.catalog import Topic
from topics.codec import Malformed, decode, encode
from topics.messages import HistoryLot, Message, Send

_TOPICS = sorted(codec.TYPES)
_PREFIX = b'{"t":"send","app":"a","group":"g","sender":"s","device":"d","client_id":"c","tried_at":1,"body":'


def _send(body: bytes) -> Send:
    """The send with this body."""
    record: Send = decode(catalog.MESSAGES.name, _PREFIX + body + b"}")
    return record


def _reason(topic: str, value: bytes) -> str | None:
    """Why these bytes are no record; None if they are one."""
    try:
        decode(topic, value)
    except Malformed as error:
        return error.reason
    return None


def _refused(topic: str, value: bytes | None) -> Malformed:
    with pytest.raises(Malformed) as caught:
        decode(topic, value)
    return caught.value


@pytest.mark.parametrize("topic", _TOPICS)
def test_every_record_type_comes_back_as_it_was(topic: str) -> None:
    @given(records(codec.TYPES[topic]))
    def check(record: Any) -> None:
        decoded = decode(topic, encode(record))
        assert type(decoded) is type(record)
        assert encode(decoded) == encode(record)

    check()


@given(st.sampled_from(_TOPICS), st.binary(max_size=200))
def test_any_bytes_are_a_record_or_malformed(topic: str, value: bytes) -> None:
    assert _reason(topic, value) in {None, "undecodable"}


@given(st.sampled_from(_TOPICS), st.data())
def test_a_record_with_some_bytes_changed_is_a_record_or_malformed(topic: str, data: st.DataObject) -> None:
    value = bytearray(encode(data.draw(records(codec.TYPES[topic]))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2)) or b'"'
    assert _reason(topic, bytes(value)) in {None, "undecodable", "unknown_version"}


@given(st.sampled_from(_TOPICS), JSON)
def test_any_json_is_a_record_or_malformed(topic: str, value: Any) -> None:
    assert _reason(topic, json.dumps(value).encode()) in {None, "undecodable"}


@pytest.mark.parametrize("topic", _TOPICS)
def test_no_value_is_malformed(topic: str) -> None:
    assert _refused(topic, None).reason == "undecodable"


def test_a_record_is_taken_up_to_its_limit() -> None:
    def of_length(length: int) -> bytes:
        frame = b'{"t":"register","link":"l","requester":"r","address":"%s"}'
        return frame % (b"x" * (length - len(frame) + 2))

    for length in (limits.RECORD_BYTES - 1, limits.RECORD_BYTES):
        assert len(of_length(length)) == length
        decode(catalog.LINKS.name, of_length(length))
    assert _refused(catalog.LINKS.name, of_length(limits.RECORD_BYTES + 1)).reason == "record_too_large"


@pytest.mark.parametrize(
    "value",
    [
        b'{"t":"leave","link":"a:b","epoch":1}',
        b'{"t":"leave","link":"","epoch":1}',
        b'{"t":"leave","link":"a\\n","epoch":1}',
        b'{"t":"leave","link":"%s","epoch":1}' % (b"x" * (limits.ID_CHARS + 1)),
        b'{"t":"leave","link":"l","epoch":-1}',
        b'{"t":"leave","link":"l","epoch":9223372036854775808}',
        b'{"t":"leave","link":"l","epoch":1.5}',
        b'{"t":"leave","link":"l","epoch":"1"}',
        b'{"t":"leave","link":"l","epoch":1,"v":0}',
        b'{"t":"leave","link":"l","epoch":1,"v":"2"}',
        b'{"t":"leave","link":"l"}',
        b'{"t":"void","link":"l","epoch":1}',
        b'{"link":"l","epoch":1}',
        b'\xef\xbb\xbf{"t":"clock"}',
        b'{"t":"clock"} {"t":"clock"}',
        b'{"t":"clock"}\0',
    ],
)
def test_ids_numbers_tags_and_versions_are_checked(value: bytes) -> None:
    assert _refused(catalog.LINKS.name, value).reason == "undecodable"


@pytest.mark.parametrize("field", ["app", "group", "sender", "device", "client_id"])
@pytest.mark.parametrize("wrong", ["a:b", "", "a\n", "a b", "\u00e4", "x" * (limits.ID_CHARS + 1)])
def test_every_id_of_a_send_and_of_a_signal_is_checked(field: str, wrong: str) -> None:
    fine = {"t": "send", "app": "a", "group": "g", "sender": "s", "device": "d", "client_id": "c", "tried_at": 1}
    fine["body"] = "hi"
    assert isinstance(decode(catalog.MESSAGES.name, msgspec.json.encode(fine)), Send)
    for kind in ("send", "signal") if field in {"app", "group", "sender"} else ("send",):
        value = msgspec.json.encode(fine | {"t": kind, field: wrong})
        assert _refused(catalog.MESSAGES.name, value).reason == "undecodable"


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        (catalog.LINKS, b'{"t":"leave","link":"l","epoch":1,"v":2}'),
        (catalog.LINKS, b'{"t":"leave","of":[1],"v":2}'),  # whatever else it says
        (catalog.LINKS, b'{"v":2,"t":"of the future"}'),
        (catalog.MESSAGES, _PREFIX + b'1,"v":9}'),
        (catalog.DELIVERIES, b'{"t":"lot","v":2}'),
        (catalog.DELIVERIES, b'{"t":"void","v":2}'),
        (catalog.HISTORY, b'{"t":"history","v":2}'),
    ],
)
def test_a_record_of_a_later_version_is_not_guessed_at(topic: Topic, value: bytes) -> None:
    assert _refused(topic.name, value).reason == "unknown_version"


def test_the_first_version_is_not_written() -> None:
    assert encode(HistoryLot(0, [])) == b'{"t":"history","source":0,"entries":[]}'
    assert b'"v"' not in encode(_send(b"1"))


def test_unknown_fields_are_ignored() -> None:
    decode(catalog.LINKS.name, b'{"t":"leave","link":"l","epoch":1,"later":[{}]}')


@pytest.mark.parametrize(
    "body",
    [
        b'"\xff"',
        b'"\xc0\xaf"',  # an overlong form
        b'"\xed\xa0\x80"',  # half of a pair
        b'"\\ud800"',
        b'"\\q"',
        b'"\\u12"',
        b'"a\nb"',
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"01",
        b"1.",
        b"[1,]",
        b'{"a":1,}',
        b"{1:2}",
        b"tru",
        b"",
        b"1}, {",
        b"9" * (limits.BODY_DIGITS + 1),
        b"-" + b"9" * (limits.BODY_DIGITS + 1),
        b'{"x":["' + b"1" * 9_000 + b'",' + b"9" * (limits.BODY_DIGITS + 1) + b"]}",
        b"[" * (limits.BODY_DEPTH + 1) + b"]" * (limits.BODY_DEPTH + 1),
        b'{"a":' * (limits.BODY_DEPTH + 1) + b"1" + b"}" * (limits.BODY_DEPTH + 1),
        b"[" * 8_000 + b"]" * 8_000,
        b"[" * 500_000 + b"]" * 500_000,
        b"[" * 1_000_000,
    ],
)
def test_a_body_that_could_spoil_its_lot_is_malformed(body: bytes) -> None:
    assert _refused(catalog.MESSAGES.name, _PREFIX + body + b"}").reason == "undecodable"


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b'{"a":1,"a":2}',
        b"9" * limits.BODY_DIGITS,
        b'"' + b"9" * 9_000 + b'"',
        b"1e999",
        b"[" * limits.BODY_DEPTH + b"]" * limits.BODY_DEPTH,
        b'"' + b"[" * 1_000 + b'"',
        b'["\\"[[[[",' + b"[]," * 100 + b'"\\\\"]',
        b'{"}]":' * limits.BODY_DEPTH + b'"{[\\""' + b"}" * limits.BODY_DEPTH,
        b' {\n"a" : [ 1 , 2 ] }\t',
    ],
)
def test_a_body_that_is_fine_passes_byte_for_byte_and_python_reads_its_lot(body: bytes) -> None:
    send = _send(body)
    assert bytes(send.body).strip() == body.strip()
    _read_in_a_lot(send)


_ANY_JSON = JSON.map(lambda value: json.dumps(value).encode())
_NEARLY_JSON = st.text('[]{}",:\\1e-.nul ', max_size=30).map(str.encode)


@given(_ANY_JSON | _NEARLY_JSON)
def test_python_reads_a_lot_with_any_body_that_was_accepted(body: bytes) -> None:
    try:
        send = _send(body)
    except Malformed:
        return
    _read_in_a_lot(send)


def _read_in_a_lot(send: Send) -> None:
    message = encode(Message("a", "g", "main", 1, 0, 1, 1, 1, "s", "d", "c", 1, send.body))
    lot = history_head(0) + message + b"," + message + b"]}"
    first, second = json.loads(lot)["entries"]
    assert first == second
    read: HistoryLot = decode(catalog.HISTORY.name, lot)
    assert [bytes(entry.body) for entry in read.entries] == [bytes(send.body)] * 2


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * 5_000 + b"1]",
        b"[" + b"[]," * 340_000 + b"1]",
        b'[[[["' + b"\\\\" * 500_000 + b'"]]]]',
        b"[" + b'"[",' * 4_000 + b"1]",
        b"[" + b'"\\"[",' * 2_300 + b"1]",
        b'"' + (b"1" * limits.BODY_DIGITS + b"a") * 3 + b'"',
        b'"' + b"1a" * 8_000 + b'"',
        b"[" * 65 + b'"' + b"1" * 16_000 + b'"' + b"]" * 65,
    ],
)
def test_no_body_is_slow(body: bytes) -> None:
    took = []
    for _ in range(5):
        began = time.perf_counter()
        with contextlib.suppress(Malformed):
            _send(body)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.02


@given(st.binary(max_size=40))
def test_what_bytes_msgspec_takes_are_utf_8(value: bytes) -> None:
    try:
        _send(b'"' + value + b'"')
    except Malformed:
        return
    value.decode()


def test_a_send_needs_all_that_its_numbering_needs() -> None:
    whole = msgspec.json.decode(_PREFIX + b"1}")
    for field in ("app", "group", "sender", "device", "client_id", "tried_at", "body"):
        lacking = encode({key: value for key, value in whole.items() if key != field})
        assert _refused(catalog.MESSAGES.name, lacking).reason == "undecodable"
