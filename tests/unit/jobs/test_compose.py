"""docker-compose.yml starts what `linkcast services up` starts from jars: same versions, same settings.

Its profile `app` starts what `linkcast run` starts, each with a bound to its memory.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from examples.gateway.__main__ import arguments
from jobs.services.cassandra import CASSANDRA
from jobs.services.containers import BESIDE, COMPOSE, variables
from jobs.services.jars import version
from jobs.services.kafka import BROKER, local_properties
from jobs.services.redis import REDIS
from streams.app import ROLES
from streams.settings import PREFIX, Settings, load

DOCKERFILE: Final = COMPOSE.with_name("Dockerfile")
THREE_BROKERS: Final = COMPOSE.with_name("docker-compose.three-brokers.yml")
VARIABLE = re.compile(r"\$\{(?P<name>\w+):-(?P<default>[^}]*)\}")


def rendered(environment: dict[str, str]) -> Any:
    """The file as compose reads it: each variable from the environment, else its default."""
    return yaml.safe_load(
        VARIABLE.sub(lambda found: environment.get(found["name"], found["default"]), COMPOSE.read_text())
    )


def of_profile(compose: Any, profile: str | None) -> dict[str, Any]:
    """The services of a profile; None: those without one."""
    return {
        name: service
        for name, service in compose["services"].items()
        if service.get("profiles") == (None if profile is None else [profile])
    }


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
    services, configs = of_profile(changed, None), changed["configs"]
    for name in services:
        port = given[f"LINKCAST_{name.upper()}_PORT"]
        assert services[name]["ports"] == [f"10.1.2.3:{port}:{port}"]
        assert str(port) in " ".join(services[name]["healthcheck"]["test"])
        assert services[name]["mem_limit"] == f"{given[f'LINKCAST_{name.upper()}_LIMIT_MB']}m"
    kafka = services["kafka"]["environment"]
    port, controller = given["LINKCAST_KAFKA_PORT"], given["LINKCAST_KAFKA_CONTROLLER_PORT"]
    assert kafka["KAFKA_LISTENERS"] == f"PLAINTEXT://:{port},INSIDE://:9092,CONTROLLER://:{controller}"
    assert kafka["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://10.1.2.3:{port},INSIDE://kafka:9092"
    assert kafka["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"1@localhost:{controller}"
    assert kafka["KAFKA_HEAP_OPTS"] == f"-Xmx{given['LINKCAST_KAFKA_HEAP_MB']}m"
    cassandra = yaml.safe_load(configs["cassandra"]["content"])
    assert cassandra["native_transport_port"] == given["LINKCAST_CASSANDRA_PORT"]
    assert cassandra["broadcast_rpc_address"] == "10.1.2.3"
    assert cassandra["seed_provider"][0]["parameters"] == [{"seeds": f"127.0.0.1:{cassandra['storage_port']}"}]
    assert f"port {given['LINKCAST_REDIS_PORT']}" in configs["redis"]["content"].splitlines()


def test_every_service_has_a_health_check_and_a_memory_limit(compose: Any) -> None:
    services = of_profile(compose, None)
    assert services.keys() == BESIDE.keys()
    for service in services.values():
        assert {"healthcheck", "mem_limit"} <= service.keys()


def test_every_container_of_both_files_has_a_memory_limit(compose: Any) -> None:
    more = yaml.safe_load(THREE_BROKERS.read_text())["services"]
    containers = compose["services"] | {name: service for name, service in more.items() if "image" in service}
    assert [
        name for name, service in containers.items() if not re.fullmatch(r"\d+m", service.get("mem_limit", ""))
    ] == []


def test_the_profile_app_has_a_worker_of_each_role_and_every_gateway(compose: Any) -> None:
    app = of_profile(compose, "app")
    workers = {
        name: service["command"] for name, service in app.items() if service.get("command", [])[:1] == ["worker"]
    }
    assert workers == {role: ["worker", "--role", role] for role in ROLES}
    gateways = [name for name in app if name.startswith("gateway-")]
    assert len(gateways) == len(load().gateway_ports)
    assert app.keys() == {*workers, *gateways, "setup"}


def test_the_gateways_are_called_as_they_want_to_be(compose: Any) -> None:
    links = set()
    for name, service in of_profile(compose, "app").items():
        if name.startswith("gateway-"):
            given = arguments().parse_args(shlex.split(service["command"]))
            assert service["ports"] == [f"127.0.0.1:{given.port}:{given.port}"]
            assert given.address == f"http://127.0.0.1:{given.port}"
            assert f":{given.port}/" in service["healthcheck"]["test"][-1]
            links.add(given.link)
    assert len(links) == len(load().gateway_ports)


def test_prometheus_scrapes_every_worker_and_has_the_rules_and_grafana_the_dashboard(compose: Any) -> None:
    configs = compose["configs"]
    written = yaml.safe_load((COMPOSE.parent / "ops/prometheus/prometheus.yml").read_text())
    told = yaml.safe_load(configs["prometheus"]["content"])
    assert told.keys() == written.keys()
    (job,) = told["scrape_configs"]
    assert job["job_name"] == written["scrape_configs"][0]["job_name"]
    assert job["static_configs"] == [{"targets": [f"{role}:18080" for role in ROLES]}]
    used = {config["source"] for name in of_profile(compose, "observability").values() for config in name["configs"]}
    assert used == configs.keys() - {"redis", "cassandra"}
    files = [config["file"] for config in configs.values() if "file" in config]
    assert [file for file in files if not (COMPOSE.parent / file).is_file()] == []


def environments() -> Iterator[dict[str, str]]:
    """Every environment that either file gives a container."""
    for text in (COMPOSE.read_text(), THREE_BROKERS.read_text()):
        for service in yaml.safe_load(text)["services"].values():
            yield service.get("environment", {})


def test_what_containers_are_told_are_settings() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    told = {name for environment in environments() for name in environment if name.startswith(PREFIX)}
    assert told
    assert told <= known
    assert set(re.findall(rf"\b{PREFIX}\w+", DOCKERFILE.read_text())) <= known


def test_a_worker_is_announced_under_the_name_by_which_others_find_it(compose: Any) -> None:
    for role in ROLES:
        assert compose["services"][role]["environment"]["LINKCAST_HOST"] == role


def test_three_brokers_differ_from_the_one_in_copies_only() -> None:
    more = yaml.safe_load(THREE_BROKERS.read_text())
    copies = more["x-three"]
    assert copies["KAFKA_DEFAULT_REPLICATION_FACTOR"] == more["x-worker"]["LINKCAST_REPLICATION"] == "3"
    assert copies["KAFKA_MIN_INSYNC_REPLICAS"] == copies["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"] == "2"
    one = rendered({})["services"]["kafka"]
    own = {"KAFKA_NODE_ID", "KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS"}
    for name in ("kafka-2", "kafka-3"):
        broker = more["services"][name]
        assert broker["image"] == one["image"]
        assert broker["environment"].keys() == one["environment"].keys()
        expected = one["environment"] | copies
        assert {key for key, value in broker["environment"].items() if expected[key] != value} == own


def instructions() -> dict[str, str]:
    """The Dockerfile's instructions, the last of each kind."""
    lines = DOCKERFILE.read_text().replace("\\\n", "").splitlines()
    return {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in lines if line and not line.startswith("#")}


def test_the_image_runs_as_nobody_special() -> None:
    assert int(instructions()["USER"]) > 0


def test_the_image_installs_by_hash() -> None:
    assert "--require-hashes" in DOCKERFILE.read_text()
    lock = (DOCKERFILE.parent / "requirements.image.lock").read_text()
    whole = (DOCKERFILE.parent / "requirements.lock").read_text()
    pinned = re.findall(r"^([\w-]+(?:\[\w+\])?==\S+)", lock, re.MULTILINE)
    assert pinned
    assert [package for package in pinned if package not in whole] == []


def test_the_image_installs_all_that_we_depend_on() -> None:
    project = tomllib.loads((DOCKERFILE.parent / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[=<>~! ]", dependency)[0] for dependency in project["dependencies"]}
    lock = (DOCKERFILE.parent / "requirements.image.lock").read_text()
    assert names <= set(re.findall(r"^([\w-]+)", lock, re.MULTILINE))


@pytest.mark.parametrize("ready", [True, False])
def test_the_health_check_asks_the_worker_whether_it_is_ready(tmp_path: Path, *, ready: bool) -> None:
    if ready:
        (tmp_path / "ready").write_text("yes")
    options, _, command = instructions()["HEALTHCHECK"].partition(" CMD ")
    assert "--interval" in options
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout
            port = re.search(r"port (\d+)", server.stdout.readline())
            assert port
            words = [sys.executable, *json.loads(command)[1:]]
            environment = os.environ | {"LINKCAST_HOST": "127.0.0.1", "LINKCAST_VIEW_PORT": port[1]}
            done = subprocess.run(words, env=environment, capture_output=True, check=False)
        finally:
            server.terminate()
    assert (done.returncode == 0) == ready
