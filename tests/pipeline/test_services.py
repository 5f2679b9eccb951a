from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from jobs.services import ALL, Services, kafka
from jobs.services.service import Name
from tests.services import own_settings


def pids(services: Services) -> dict[Name, int | None]:
    return {status.name: status.pid for status in services.status()}


def test_up_leaves_running_services_alone(services: Services) -> None:
    before = pids(services)
    services.up()
    assert pids(services) == before
    assert all(before.values())


def test_status_tells_port_uptime_and_health(services: Services) -> None:
    found = services.status()
    assert [(one.name, one.healthy) for one in found] == [(name, True) for name in ALL]
    assert [one.port for one in found] == [getattr(services.settings, f"{name}_port") for name in ALL]
    assert all(one.uptime_s > 0 for one in found)


@pytest.mark.parametrize("end", [Services.stop, Services.kill], ids=["stop", "kill"])
@pytest.mark.parametrize("name", ["kafka", "redis"])
def test_one_service_goes_and_comes_back_alone(services: Services, name: Name, end: object) -> None:
    assert callable(end)
    before = pids(services)
    end(services, name)
    end(services, name)  # twice is as good as once
    assert pids(services) == before | {name: None}
    services.start(name)
    after = pids(services)
    assert after[name] not in {None, before[name]}
    assert after | {name: before[name]} == before
    assert all(status.healthy for status in services.status())


def test_an_id_of_a_new_cluster_may_begin_like_an_option(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(bytes=b"\xfb" * 16))
    broker = kafka.Kafka(own_settings(services.settings, tmp_path))
    broker.home.mkdir(parents=True)
    broker.prepare(lambda *_: None)
    assert "cluster.id=-_v7" in (broker.home / "data" / "meta.properties").read_text()
