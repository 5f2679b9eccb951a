"""How topics are made by a broker that is slow; how by one that is not: tests/pipeline/test_topics.py."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.admin import NewTopic
from aiokafka.errors import InvalidReplicationFactorError, RequestTimedOutError

from jobs import topics
from jobs.problem import Problem
from streams.settings import load
from topics.catalog import CATALOG


class Broker:
    """A broker as an admin's client sees it.

    Attributes:
        code: what it answers to a wish for topics.
        late: how often it is asked until it has them; None for never.
        error: what becomes of every request instead.
    """

    def __init__(self, code: int = 0, late: int | None = 0, error: Exception | None = None) -> None:
        self.code = code
        self.late = late
        self.error = error
        self.wanted: Sequence[NewTopic] = ()
        self.asked = 0

    def __call__(self, **_: Any) -> Broker:
        return self

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def describe_topics(self) -> list[dict[str, Any]]:
        if self.error is not None:
            raise self.error
        self.asked += bool(self.wanted)
        made = self.wanted if self.late is not None and self.asked > self.late else ()
        return [{"topic": one.name, "partitions": [{"leader": 1}] * one.num_partitions} for one in made]

    async def create_topics(self, wanted: Sequence[NewTopic], timeout_ms: int) -> Any:
        assert timeout_ms < topics._TIMEOUT_MS
        self.wanted = wanted
        return SimpleNamespace(topic_errors=[(one.name, self.code, None) for one in wanted])


async def test_topics_that_the_broker_makes_late_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "AIOKafkaAdminClient", Broker(RequestTimedOutError.errno, late=3))
    assert await topics.create(load(None)) == [topic.name for topic in CATALOG]


@pytest.mark.parametrize("code", [0, RequestTimedOutError.errno])
async def test_of_topics_that_do_not_come_it_is_told_how_to_go_on(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_TIMEOUT_MS", 200)
    monkeypatch.setattr(topics, "_CREATE_MS", 100)
    monkeypatch.setattr(topics, "AIOKafkaAdminClient", Broker(code, late=None))
    with pytest.raises(Problem, match=r"slow.*linkcast topics create"):
        await topics.create(load(None))


@pytest.mark.parametrize("error", [TimeoutError(), RequestTimedOutError()], ids=lambda error: type(error).__name__)
async def test_a_broker_that_does_not_answer_is_called_slow(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "AIOKafkaAdminClient", Broker(error=error))
    with pytest.raises(Problem, match="is slow: no answer for"):
        await topics.counts(load(None))


async def test_what_the_broker_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "AIOKafkaAdminClient", Broker(InvalidReplicationFactorError.errno))
    with pytest.raises(Problem, match=r"(?s)did not create:.*  messages: InvalidReplicationFactorError"):
        await topics.create(load(None))
