"""docker-compose.yml starts what `linkcast services up` starts from jars: same versions, same settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.services.cassandra import CASSANDRA
from jobs.services.containers import BESIDE, COMPOSE, variables
from jobs.services.jars import version
from jobs.services.kafka import BROKER, local_properties
from jobs.services.redis import REDIS
from streams.settings import Settings, load

VARIABLE = re.compile(r"\$\{(?P<name>\w+):-(?P<default>[^}]*)\}")


def rendered(environment: dict[str, str]) -> Any:
    """The file as compose reads it: each variable from the environment, else its default."""
    return yaml.safe_load(
        VARIABLE.sub(lambda found: environment.get(found["name"], found["default"]), COMPOSE.read_text())
    )


@pytest.fixture(scope="module")
def compose() -> Any:
    return rendered({})


def test_versions_are_those_of_the_pom(compose: Any) -> None:
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{version('kafka')}"
    assert compose["services"]["cassandra"]["image"] == f"cassandra:{version('cassandra')}"


def test_the_broker_has_the_same_settings(compose: Any) -> None:
    environment = compose["services"]["kafka"]["environment"]
    wanted = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in BROKER.items()}
    assert wanted.items() <= environment.items()
    own = {f"KAFKA_{name.upper().replace('.', '_')}" for name in local_properties(load(), Path())}
    assert environment.keys() - wanted.keys() == own | {"KAFKA_HEAP_OPTS"}


def test_cassandra_has_the_same_settings(compose: Any) -> None:
    assert CASSANDRA.items() <= yaml.safe_load(compose["configs"]["cassandra"]["content"]).items()


def test_redis_has_the_same_settings(compose: Any) -> None:
    lines = dict(line.split(" ", 1) for line in compose["configs"]["redis"]["content"].splitlines())
    assert REDIS.items() <= lines.items()


def test_its_variables_are_settings_and_its_defaults_are_theirs() -> None:
    found = {(found["name"], found["default"]) for found in VARIABLE.finditer(COMPOSE.read_text())}
    defaults = Settings(**{name: field.default for name, field in Settings.model_fields.items() if name == "data"})
    assert found == set(variables(defaults).items())
    assert COMPOSE.read_text().count("$") == len(VARIABLE.findall(COMPOSE.read_text()))


def test_no_port_or_heap_is_left_that_does_not_follow_the_settings() -> None:
    given = {name: port for port, name in enumerate(variables(load()), start=30_001)}
    changed = rendered({name: str(value) for name, value in given.items()} | {"LINKCAST_HOST": "10.1.2.3"})
    services, configs = changed["services"], changed["configs"]
    for name in services:
        port = given[f"LINKCAST_{name.upper()}_PORT"]
        assert services[name]["ports"] == [f"10.1.2.3:{port}:{port}"]
        assert str(port) in " ".join(services[name]["healthcheck"]["test"])
        assert services[name]["mem_limit"] == f"{given[f'LINKCAST_{name.upper()}_LIMIT_MB']}m"
    kafka = services["kafka"]["environment"]
    port, controller = given["LINKCAST_KAFKA_PORT"], given["LINKCAST_KAFKA_CONTROLLER_PORT"]
    assert kafka["KAFKA_LISTENERS"] == f"PLAINTEXT://:{port},CONTROLLER://:{controller}"
    assert kafka["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://10.1.2.3:{port}"
    assert kafka["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"1@localhost:{controller}"
    assert kafka["KAFKA_HEAP_OPTS"] == f"-Xmx{given['LINKCAST_KAFKA_HEAP_MB']}m"
    cassandra = yaml.safe_load(configs["cassandra"]["content"])
    assert cassandra["native_transport_port"] == given["LINKCAST_CASSANDRA_PORT"]
    assert cassandra["broadcast_rpc_address"] == "10.1.2.3"
    assert cassandra["seed_provider"][0]["parameters"] == [{"seeds": f"127.0.0.1:{cassandra['storage_port']}"}]
    assert f"port {given['LINKCAST_REDIS_PORT']}" in configs["redis"]["content"].splitlines()


def test_every_service_has_a_health_check_and_a_memory_limit(compose: Any) -> None:
    assert compose["services"].keys() == BESIDE.keys()
    for service in compose["services"].values():
        assert {"healthcheck", "mem_limit"} <= service.keys()
