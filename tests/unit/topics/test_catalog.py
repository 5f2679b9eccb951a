"""Every topic once, and each with a type."""

from __future__ import annotations

import ast
from pathlib import Path

from topics import answers, catalog, codec, rejects

_ROOT = Path(__file__).parents[3]


def test_each_topic_has_a_type_but_the_changelogs_whose_rows_are_private() -> None:
    changelogs = {topic.name for topic in catalog.CATALOG if topic.name.endswith("-changelog")}
    assert set(codec.TYPES) == set(catalog.BY_NAME) - changelogs


def test_names_are_unique_and_every_topic_of_the_module_is_in_the_catalog() -> None:
    assert len(catalog.BY_NAME) == len(catalog.CATALOG)
    named = [value for value in vars(catalog).values() if isinstance(value, catalog.Topic)]
    assert sorted(topic.name for topic in named) == sorted(catalog.BY_NAME)


def test_every_topic_has_writers_and_readers_and_the_brokers_clock() -> None:
    for topic in catalog.CATALOG:
        assert topic.writers
        assert topic.readers
        assert topic.config["message.timestamp.type"] == "LogAppendTime"
        assert (topic.config["cleanup.policy"] == "compact") == (topic.kept_ms is None)


def test_partitions_are_the_clusters_numbers() -> None:
    assert {topic.partitions(8, 32) for topic in catalog.CATALOG} == {1, 8, 32}
    assert catalog.DELIVERIES.partitions(8, 32) == 32
    assert catalog.LINKS.partitions(8, 32) == 1


def test_each_code_and_reason_is_explained() -> None:
    assert set(answers.CODES) == set(answers.Code.__args__)  # type: ignore[attr-defined]
    assert set(rejects.REASONS) == set(rejects.Reason.__args__)  # type: ignore[attr-defined]


def test_each_code_is_given_somewhere_by_the_pipeline() -> None:
    nodes = (
        node
        for folder in ("streams", "tables")
        for path in (_ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
    )
    used = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert set(answers.CODES) <= used
    assert set(rejects.REASONS) <= used | {"undecodable", "unknown_version", "record_too_large"}  # the codec's
