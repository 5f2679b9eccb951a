"""The contract's documents say what the code does, and its example is what a gateway understands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # published without types
import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from typer.testing import CliRunner

from jobs import contract, contract_example
from jobs.contract_example import PARTITIONS, Line
from jobs.problem import Problem
from linkcast_gateway import wire
from linkcast_gateway.state import Answered, Closed, Deliver, Event, Forgotten, Gone, LinkState, Live, Noticed, Resync
from topics import catalog
from topics.codec import decode
from topics.keys import murmur2

LINES = [line for step in contract_example.steps() for line in step.lines]
LOST_SOURCE = 6
KEYED = [line for line in LINES if line.key is not None and line.topic != "links"]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The documents as they are checked in, to be changed."""
    copied = tmp_path / "contract"
    shutil.copytree(contract.FOLDER, copied)
    monkeypatch.setattr(contract, "FOLDER", copied)
    return copied


def check() -> Exception | None:
    error = CliRunner().invoke(contract.app, ["--check"]).exception
    assert error is None or isinstance(error, Exception)
    return error


def test_the_documents_are_not_stale() -> None:
    assert check() is None, "run: linkcast contract"


@pytest.mark.parametrize("name", ["README.md", "schemas/messages.json"])
def test_a_stale_document_is_named_and_written_anew(copy: Path, name: str) -> None:
    right = (copy / name).read_text()
    (copy / name).write_text(right.replace("key `demo:friends`", "key `demo:enemies`").replace('"client_id"', '"id"'))
    error = check()
    assert isinstance(error, Problem)
    assert str(error) == f"Stale in docs/contract: {name}. Write them anew: linkcast contract"
    assert CliRunner().invoke(contract.app, []).exit_code == 0
    assert (copy / name).read_text() == right


def test_a_schema_of_no_topic_is_removed(copy: Path) -> None:
    (copy / "schemas" / "gone.json").write_text("{}")
    assert isinstance(check(), Problem)
    CliRunner().invoke(contract.app, [])
    assert not (copy / "schemas" / "gone.json").exists()


def test_a_block_that_is_missing_is_not_overlooked(copy: Path) -> None:
    readme = copy / "README.md"
    readme.write_text(readme.read_text().replace("<!-- generated: codes -->", ""))
    assert isinstance(check(), Problem)


@pytest.mark.parametrize("key", contract.VECTORS)
def test_the_hashes_are_kafkas(key: str) -> None:
    assert murmur2(key.encode()) == murmur2_of_aiokafka(key.encode()) & 0xFFFFFFFF


def test_the_hashes_cover_what_implementations_get_wrong() -> None:
    keys = [key.encode() for key in contract.VECTORS]
    assert len(keys) == 10
    assert {len(key) % 4 for key in keys} == {0, 1, 2, 3}
    assert {murmur2(key) >> 31 for key in keys} == {0, 1}  # the sign bit, which is masked, not negated
    text = (contract.FOLDER / "README.md").read_text()
    assert all(f"`{murmur2(key):08x}`" in text for key in keys)


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.topic}-{json.loads(line.value)['t']}")
def test_each_record_of_the_example_is_one_of_its_topic_and_fits_its_schema(line: Line) -> None:
    decode(line.topic, line.value)
    schema = json.loads((contract.FOLDER / "schemas" / f"{line.topic}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(line.value), schema)


@pytest.mark.parametrize(
    "bad", [{"link": "a:b"}, {"link": ""}, {"link": "x" * 65}, {"epoch": -1}, {"v": 2}, {"t": "up"}]
)
def test_the_schemas_refuse_what_the_pipeline_refuses(bad: dict[str, object]) -> None:
    schema = json.loads((contract.FOLDER / "schemas" / "links.json").read_text())
    record = {"t": "beat", "link": "L1", "epoch": 1}
    jsonschema.validate(record, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record | bad, schema)


@pytest.mark.parametrize("line", KEYED, ids=lambda line: f"{line.topic}-{line.value[6:20].decode()}")
def test_each_key_of_the_example_stands_on_its_partition(line: Line) -> None:
    assert line.key is not None
    assert (murmur2_of_aiokafka(line.key) & 0x7FFFFFFF) % PARTITIONS == line.partition


def test_every_public_topic_but_rejects_is_in_the_example() -> None:
    assert {line.topic for line in LINES} == {topic.name for topic in contract.PUBLIC} - {catalog.REJECTS.name}


def heard_in_the_example() -> list[Event]:
    """What a gateway makes of the example that knows only the contract."""
    registered = next(entry.answer for line in LINES if line.topic == "answers" for entry in wire.answers(line.value))
    assert isinstance(registered, wire.Registered)
    state = LinkState(registered.link, registered.epoch)
    events: list[Event] = []
    lost = 4  # the example says that the gateway missed it
    for line in LINES:
        if line.topic != "deliveries":
            continue
        record = wire.delivery(line.value)
        assert record is not None
        if isinstance(record, wire.Lot) and record.number == lost and record.source == LOST_SOURCE:
            continue
        events += state.feed(record, now_ms=0)
    return events


def test_a_gateway_that_knows_only_the_contract_understands_the_example() -> None:
    kinds = [type(event) for event in heard_in_the_example() if not isinstance(event, Noticed)]
    friends = [Live, Answered, Deliver, Answered, Resync, Answered, Forgotten, Live, Live]  # answers wait for nothing
    assert kinds[: len(friends)] == friends
    assert Resync not in kinds[len(friends) :]
    assert kinds[-3:] == [Gone, Gone, Closed]


def test_in_the_example_a_message_reaches_who_sees_its_channel_and_a_change_of_that_whom_it_concerns() -> None:
    events = [event for event in heard_in_the_example() if isinstance(event, Deliver)]
    messages = [event.slots for event in events if isinstance(event.entry, wire.Message)]
    assert messages == [(0,), (0,), (0, 1), (0,)]  # the last one is not for Bob, who is in the background
    assert [event.slots for event in events if isinstance(event.entry, wire.Unread)] == [(1,)]
    seen = [e.slots for e in events if isinstance(e.entry, wire.Changed) and "visibility" in e.entry.what]
    assert (1,) in seen


def test_in_the_example_people_are_told_what_they_took_part_in() -> None:
    told = [(e.user, e.notice.kind) for e in heard_in_the_example() if isinstance(e, Noticed)]
    assert [kind for user, kind in told if user == "bob"] == ["roles_given", "roles_taken"]
