"""A worker's log: lines that machines read, that know their lane, tell no content, and don't flood."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.contextvars import bound_contextvars

from jobs import logs
from topics import limits

log = logging.getLogger("streams.somewhere")
BODY = "the body of a message"


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = kept


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    logs.configure("INFO", "auto", stream=stream, cluster="linkcast", role="groups", worker="groups-2")
    return stream


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_away_from_a_terminal_a_line_is_an_object_that_names_its_worker_and_lane(out: io.StringIO) -> None:
    with bound_contextvars(kind="groups", partition=3, generation=7):
        log.warning("%s: begins anew after %s", "groups/3", "TimeoutError")
    (line,) = lines(out)
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "WARNING",
        "event": "groups/3: begins anew after TimeoutError",
        "cluster": "linkcast",
        "role": "groups",
        "worker": "groups-2",
        "kind": "groups",
        "partition": 3,
        "generation": 7,
        "logger": "streams.somewhere",
    }


def test_for_people_it_is_text() -> None:
    stream = io.StringIO()
    logs.configure("INFO", "pretty", stream=stream, cluster="linkcast", role="groups", worker="groups-2")
    log.info("serves")
    assert "serves" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_an_error_is_told_with_its_place_but_not_its_text(out: io.StringIO) -> None:
    try:
        try:
            int(BODY)
        except ValueError as error:
            raise KeyError(BODY) from error
    except KeyError:
        log.exception("a handler raised")
    told = lines(out)[0]["exception"]
    assert BODY not in out.getvalue()
    assert told.startswith("KeyError\n  tests/unit/jobs/test_logs.py:")
    assert "caused by ValueError" in told


def test_what_a_service_answered_is_told_in_full(out: io.StringIO) -> None:
    try:
        raise ConnectionRefusedError(111, "refused by 127.0.0.1:9092")
    except OSError:
        log.exception("no broker")
    assert "refused by 127.0.0.1:9092" in lines(out)[0]["exception"]


def test_one_place_in_the_code_cannot_flood_the_log(out: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(logs, "monotonic", lambda: now)

    def flood(count: int) -> None:
        for _ in range(count):
            log.error("sets one aside")

    flood(5 * limits.LOG_LINES)
    log.error("another place")
    assert len(lines(out)) == limits.LOG_LINES + 1
    now += limits.LOG_WINDOW_MS / 1000
    flood(2)
    assert [line.get("left_out") for line in lines(out)[-2:]] == [4 * limits.LOG_LINES, None]


def test_less_than_the_level_is_not_written(out: io.StringIO) -> None:
    log.debug("a view answered")
    logging.getLogger("aiokafka.consumer").info("joined")
    assert lines(out) == []
