from __future__ import annotations

import pytest

from jobs.stack import as_environment
from streams.settings import load


def test_what_a_child_process_is_given_it_reads_as_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = load(None, cassandra_contact_points=("127.0.0.1",), partitions=8)
    for name, value in as_environment(given).items():
        monkeypatch.setenv(name, value)
    read = load(None)
    assert (read.partitions, read.cassandra_contact_points) == (8, ("127.0.0.1",))
