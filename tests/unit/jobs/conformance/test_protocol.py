"""The lines between the kit and a gateway's program."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # published without types
import pytest
from msgspec import Raw

from jobs.conformance import protocol
from jobs.conformance.protocol import (
    Connect,
    Disconnect,
    Ground,
    Lose,
    Message,
    NotUnderstood,
    Send,
    Start,
    Stop,
    Subscribe,
    Tell,
    Unsubscribe,
    Watch,
    decode,
    encode,
)
from topics.subscriptions import Subscription

DOCS = Path(__file__).parents[4] / "docs"
TOLD: list[Tell] = [
    Start("127.0.0.1:9092", "L1", "app", "http://127.0.0.1:1", "secret"),
    Connect(1, "ann", "phone"),
    Send(1, "g", "c1", Raw(b'{"text":"hi"}')),
    Connect(2, "ann", "phone", resumes=1, background=True),
    Subscribe(1, [Subscription("g", "messages", "main"), Subscription("g", "server")]),
    Unsubscribe(1, [Subscription("g", "typing", "main")]),
    Watch(1, ["bob"]),
    Ground(1, background=True),
    Lose(1),
    Disconnect(1),
    Stop(),
]


@pytest.mark.parametrize("told", TOLD, ids=lambda told: type(told).__name__)
def test_what_the_kit_tells_is_a_line_that_fits_the_schema(told: Tell) -> None:
    line = encode(told)
    assert b"\n" not in line
    jsonschema.validate(json.loads(line), json.loads((DOCS / "contract" / "conformance.json").read_text()))


def test_an_event_is_understood_with_fields_that_are_not_named() -> None:
    line = b'{"event":"message","as":1,"group":"g","seq":2,"body":{"text":"hi"},"later":1}'
    assert decode(line) == Message(1, "g", 2, {"text": "hi"})


def test_an_event_of_another_kind_is_ignored() -> None:
    assert decode(b'{"event":"typing","as":1}') is None


@pytest.mark.parametrize(
    "line", [b"starting up...", b"[1]", b'{"as":1}', b'{"event":"message","as":1,"group":"g"}', b'{"event":7}']
)
def test_a_line_that_is_no_event_is_a_mistake(line: bytes) -> None:
    with pytest.raises(NotUnderstood):
        decode(line)


def test_every_line_of_the_docs_session_is_one_of_the_protocol() -> None:
    session = (DOCS / "conformance.md").read_text().split("A session of one case:")[1].split("```")[1]
    lines = [line.split(" ", 1) for line in session.splitlines() if line[:1] in "→←"]
    assert {arrow for arrow, _ in lines} == {"→", "←"}
    for arrow, line in lines:
        jsonschema.validate(json.loads(line), protocol.schema())
        assert ("do" in json.loads(line)) == (arrow == "→")
