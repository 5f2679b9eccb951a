"""The AsyncAPI document is one, and says of each role outside what the catalog says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]  # published without types
import pytest

from jobs import contract
from jobs.contract_asyncapi import OUTSIDE
from topics.codec import TYPES

#: AsyncAPI's own schema of version 3.0.0, as published in the package @asyncapi/specs (Apache-2.0).
OFFICIAL: Final = Path(__file__).parents[2] / "contract" / "asyncapi-3.0.0.json"


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads((contract.FOLDER / "asyncapi.json").read_text())


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_document_is_asyncapi_3(document: Any) -> None:
    jsonschema.validate(document, json.loads(OFFICIAL.read_text()))


def test_the_official_schema_refuses_what_is_none(document: Any) -> None:
    spoiled = document | {"operations": {"x": {"action": "publish", "channel": {"$ref": "#/channels/links"}}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spoiled, json.loads(OFFICIAL.read_text()))


def test_every_reference_leads_somewhere(document: Any) -> None:
    for reference in references(document):
        file, _, path = reference.partition("#/")
        found = json.loads((contract.FOLDER / file).read_text()) if file else document
        for step in path.split("/"):
            found = found[step]


def test_every_public_topic_is_a_channel_with_all_of_its_records(document: Any) -> None:
    assert list(document["channels"]) == [topic.name for topic in contract.PUBLIC]
    for topic in contract.PUBLIC:
        schema = json.loads((contract.FOLDER / "schemas" / f"{topic.name}.json").read_text())
        tags = set(schema.get("discriminator", {}).get("mapping", {})) or {TYPES[topic.name].__struct_config__.tag}
        assert document["channels"][topic.name]["messages"].keys() == tags


def test_each_role_outside_has_an_operation_for_what_the_catalog_says_it_writes_and_reads(document: Any) -> None:
    expected = {f"{OUTSIDE[role][0]}.send.{t.name}" for t in contract.PUBLIC for role in t.writers if role in OUTSIDE}
    expected |= {
        f"{OUTSIDE[role][0]}.receive.{t.name}" for t in contract.PUBLIC for role in t.readers if role in OUTSIDE
    }
    assert document["operations"].keys() == expected


def test_what_the_pipeline_alone_writes_is_sent_by_nobody_outside(document: Any) -> None:
    sent = {ref["$ref"] for op in document["operations"].values() if op["action"] == "send" for ref in op["messages"]}
    assert "#/channels/links/messages/beat" in sent
    assert "#/channels/links/messages/clock" not in sent
