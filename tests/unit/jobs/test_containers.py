"""Services with Docker, against a `docker` that has no engine: what it is asked, and what is made of its answers."""

from __future__ import annotations

import json
import socket
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs import topics
from jobs.cli import app
from jobs.problem import Problem
from jobs.services import ALL, Services
from jobs.services.containers import COMPOSE, Containers, variables
from jobs.services.service import Name
from jobs.stack import as_environment
from streams.settings import PREFIX
from tests.services import free_ports, settings_in

FAKE = Path(__file__).with_name("fake_docker.py")
PRINTED = {"--ansi", "never", "--progress", "plain"}


@dataclass
class Fake:
    """The fake's folder."""

    home: Path

    @property
    def asked(self) -> list[list[str]]:
        """The arguments of each call so far."""
        return [json.loads(line)[0] for line in (self.home / "asked").read_text().splitlines()]

    def commands(self) -> list[list[str]]:
        """What the compose project was asked to do, but for questions and for how it prints."""
        projects = [words[5:] for words in self.asked if words[:2] == ["compose", "--file"]]
        return [[word for word in words if word not in PRINTED] for words in projects if words[0] != "ps"]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    home, programs = tmp_path / "fake", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    docker = programs / "docker"
    docker.write_text(f'#!/bin/sh\nexec {sys.executable} -S {FAKE} "$@"\n')
    docker.chmod(docker.stat().st_mode | stat.S_IEXEC)
    (home / "version").write_text("v2.29.1")
    (home / "engine").touch()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("FAKE_DOCKER", str(home))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    yield Fake(home)
    for name in ALL:
        if (home / f"{name}.pid").exists():
            Containers(settings_in(tmp_path), lambda *_: None)._docker("compose", "kill", name)


@pytest.fixture
def told() -> list[tuple[Name, str]]:
    return []


@pytest.fixture
def services(fake: Fake, tmp_path: Path, told: list[tuple[Name, str]]) -> Services:
    del fake
    settings = settings_in(tmp_path / "data", cache=tmp_path / "cache", cluster="Blue", kafka_heap_mb=700)
    return Services(settings, lambda name, what: told.append((name, what)))


def pids(services: Services) -> dict[Name, int | None]:
    return {status.name: status.pid for status in services.status()}


def test_without_java_docker_starts_them_and_data_stays_after_down(services: Services, fake: Fake) -> None:
    services.up()
    assert all(status.healthy and status.pid and status.uptime_s < 60 for status in services.status())
    services.down()
    assert pids(services) == dict.fromkeys(ALL)
    assert fake.commands() == [
        ["pull", "--policy", "missing", *ALL],
        ["up", "--detach", "--wait", *ALL],
        ["stop", "--timeout", "30", *ALL],
    ]
    services.forget()
    assert fake.commands()[-1] == ["down", "--volumes"]


def test_one_service_goes_and_comes_back_alone(services: Services, fake: Fake) -> None:
    services.up()
    before = pids(services)
    services.up()
    assert pids(services) == before
    services.kill("kafka")
    services.kill("kafka")
    assert pids(services) == before | {"kafka": None}
    services.start("kafka")
    after = pids(services)
    assert after["kafka"] not in {None, before["kafka"]}
    assert after | {"kafka": before["kafka"]} == before
    assert [words for words in fake.commands() if words[0] == "kill"] == [["kill", "kafka"]]
    services.down()


def test_the_settings_reach_compose_and_the_project_is_the_data_folders(services: Services, fake: Fake) -> None:
    services.up()
    services.down()
    lines = [json.loads(line) for line in (fake.home / "asked").read_text().splitlines()]
    (words, environment) = next(line for line in lines if "up" in line[0])
    assert variables(services.settings).items() <= environment.items()
    assert environment["LINKCAST_KAFKA_PORT"] == str(services.settings.kafka_port)
    assert (environment["LINKCAST_KAFKA_HEAP_MB"], environment["LINKCAST_KAFKA_LIMIT_MB"]) == ("700", "1212")
    assert words[:3] == ["compose", "--file", str(COMPOSE)]
    project = words[4]
    assert project.startswith("blue-")
    elsewhere = Containers(settings_in(services.settings.data / "other", cluster="Blue"), lambda *_: None)
    assert elsewhere.project.startswith("blue-")
    assert elsewhere.project != project


def test_each_step_is_told(services: Services, told: list[tuple[Name, str]]) -> None:
    services.up(["kafka"])
    services.stop("kafka")
    port = services.settings.kafka_port
    steps = ["fetching images", "starting", "started", f"healthy on port {port}", "stopping", "stopped"]
    assert told == [("kafka", step) for step in steps]


def test_a_run_that_fails_ends_only_the_services_that_it_started(
    services: Services, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> list[str]:
        assert all(pids(services).values())
        raise Problem("This cluster was born with other numbers")

    services.up(["kafka"])
    before = pids(services)
    monkeypatch.setattr(topics, "create", refused)
    first, second = free_ports(2)
    environment = {**as_environment(services.settings), f"{PREFIX}GATEWAY_PORTS": f"{first},{second}"}
    ended = CliRunner().invoke(app, ["run"], env=environment)
    assert "other numbers" in str(ended.exception)
    assert pids(services) == before
    assert fake.commands()[-1] == ["stop", "--timeout", "30", "redis", "cassandra"]
    services.down()


def test_a_failed_start_is_told_with_the_last_words(services: Services, fake: Fake) -> None:
    (fake.home / "broken").write_text("up")
    with pytest.raises(Problem, match=r"(?s)docker up --detach --wait.*up failed.*the last words"):
        services.up()


def test_images_that_cannot_be_fetched_leave_the_data_folder_unclaimed(services: Services, fake: Fake) -> None:
    (fake.home / "broken").write_text("pull")
    with pytest.raises(Problem, match="pull failed"):
        services.up()
    assert not (services.settings.data / "services" / "by").exists()


def test_a_data_folder_stays_with_docker(services: Services, tmp_path: Path) -> None:
    services.up(["redis"])
    services.down()
    with pytest.raises(Problem, match=r"(?s)services_by is jars.*begun with docker.*services forget"):
        Services(settings_in(tmp_path / "data", services_by="jars")).up()


def test_a_taken_port_is_named_before_anything_is_fetched(services: Services, fake: Fake) -> None:
    taken = socket.create_server(("127.0.0.1", services.settings.redis_port))
    with taken, pytest.raises(Problem, match="LINKCAST_REDIS_PORT="):
        services.up()
    assert fake.commands() == []


def test_without_anything_both_ways_are_named(services: Services, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.needs.may_install_redis", lambda: False)
    (fake.home / "engine").unlink()
    with pytest.raises(Problem) as problem:
        services.up()
    for word in ("openjdk-17", "install maven", "install redis", "Cannot connect", "systemctl start docker"):
        assert word in str(problem.value)
    assert not services.settings.data.exists()


@pytest.mark.parametrize(("version", "why"), [("2.20.3", "2.23.1 or newer"), (None, "no compose plugin")])
def test_a_compose_that_does_not_fit_is_refused(fake: Fake, tmp_path: Path, version: str | None, why: str) -> None:
    (fake.home / "version").unlink()
    if version:
        (fake.home / "version").write_text(version)
    with pytest.raises(Problem, match=why) as problem:
        Services(settings_in(tmp_path, services_by="docker")).up()
    assert "Maven" not in str(problem.value)
