"""What is told when something that the services need is not there."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from jobs.needs import find_java
from jobs.problem import Problem
from jobs.services import Services
from jobs.services.cassandra import Cassandra
from jobs.services.jars import fetch
from jobs.services.kafka import Kafka
from jobs.services.processes import Processes
from jobs.services.redis import Redis
from tests.services import settings_in


@pytest.mark.parametrize("setting", ["kafka_controller_port", "redis_port", "cassandra_storage_port"])
def test_a_taken_port_is_named_with_its_setting_before_anything_starts(setting: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = settings_in(tmp_path, **{setting: other.getsockname()[1]})
        services = [kind(settings) for kind in (Kafka, Redis, Cassandra)]
        with pytest.raises(Problem, match=rf"(?s)127\.0\.0\.1:{other.getsockname()[1]}.*LINKCAST_{setting.upper()}="):
            Processes(settings, lambda *_: None).up(services)
    assert not any(service.home.exists() for service in services)


def test_missing_maven_is_told_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Problem, match="apt-get install maven"):
        fetch("kafka", tmp_path, lambda *_: None)


def test_missing_java_is_told_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(Problem, match="apt-get install openjdk-17"):
        find_java()


def test_a_java_that_is_too_old_or_too_new_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"21.0.1\"' >&2\n")
    java.chmod(java.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(Problem, match="not Java 11 or 17"):
        find_java()


def test_failing_maven_is_told_with_its_last_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho no route; exit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Problem, match="no route"):
        fetch("kafka", tmp_path / "cache", lambda *_: None)


def test_down_without_services_does_nothing(tmp_path: Path) -> None:
    Services(settings_in(tmp_path)).down()
