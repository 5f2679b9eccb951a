"""docker-compose.yml starts what `linkcast services up` starts: same versions, same settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.services.cassandra import CASSANDRA
from jobs.services.jars import version
from jobs.services.kafka import BROKER
from jobs.services.redis import REDIS
from streams.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_versions_are_those_of_the_pom(compose: Any) -> None:
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{version('kafka')}"
    assert compose["services"]["cassandra"]["image"] == f"cassandra:{version('cassandra')}"


def test_the_broker_has_the_same_settings(compose: Any) -> None:
    environment = compose["services"]["kafka"]["environment"]
    wanted = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in BROKER.items()}
    assert wanted.items() <= environment.items()
    own = {"KAFKA_HEAP_OPTS", "KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_CONTROLLER_QUORUM_VOTERS"}
    assert environment.keys() - wanted.keys() == own | {"KAFKA_LOG_DIRS"}


def test_cassandra_has_the_same_settings(compose: Any) -> None:
    assert CASSANDRA.items() <= yaml.safe_load(compose["configs"]["cassandra"]["content"]).items()


def test_redis_has_the_same_settings(compose: Any) -> None:
    lines = dict(line.split(" ", 1) for line in compose["configs"]["redis"]["content"].splitlines())
    assert REDIS.items() <= lines.items()


def test_ports_and_memory_are_the_defaults(compose: Any) -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    services = compose["services"]
    for name in services:
        port = defaults[f"{name}_port"]
        assert services[name]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert services["kafka"]["environment"]["KAFKA_HEAP_OPTS"] == f"-Xmx{defaults['kafka_heap_mb']}m"
    assert services["cassandra"]["environment"]["MAX_HEAP_SIZE"] == f"{defaults['cassandra_heap_mb']}M"
    assert f"maxmemory {defaults['redis_memory_mb']}mb" in compose["configs"]["redis"]["content"]


def test_every_service_has_a_health_check_and_a_memory_limit(compose: Any) -> None:
    for service in compose["services"].values():
        assert {"healthcheck", "mem_limit"} <= service.keys()
