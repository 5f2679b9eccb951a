"""Which node makes tables."""

from __future__ import annotations

from itertools import permutations
from uuid import UUID

from cassandra.connection import DefaultEndPoint
from cassandra.policies import SimpleConvictionPolicy
from cassandra.pool import Host

from streams.sinks.making import OneNodePolicy


def test_tables_are_made_by_the_same_node_whoever_makes_them() -> None:
    hosts = [
        Host(DefaultEndPoint(f"10.0.0.{number}"), SimpleConvictionPolicy, "here", "rack", UUID(int=9 - number))
        for number in range(3)
    ]
    for seen in permutations(hosts):
        policy = OneNodePolicy("here")
        policy.populate(None, seen)
        for _ in seen:
            assert list(policy.make_query_plan()) == hosts[::-1]
