"""How a good run is spoilt, record by record, so that the judge must see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from jobs.verify.world import Row, StoredMessage, World
from topics.catalog import Topic
from topics.codec import decode, encode

Mutation = Callable[[World], World]
Where = Callable[[Any], bool]
Edit = Callable[[Row, Any], "list[Row] | None"]


def with_rows(world: World, topic: Topic, rows: list[Row]) -> World:
    topics = dict(world.topics) | {topic.name: rows}
    return World(topics, world.partitions, world.links, world.stored, world.cached)


def edited(topic: Topic, edit: Edit) -> Mutation:
    """Replaces the first record that `edit` has an opinion on."""

    def mutate(world: World) -> World:
        rows: list[Row] = []
        done = False
        for row in world.topics[topic.name]:
            new = None if done else edit(row, decoded(topic, row))
            done |= new is not None
            rows += [row] if new is None else new
        assert done, "nothing to spoil"
        return with_rows(world, topic, rows)

    return mutate


def decoded(topic: Topic, row: Row) -> Any:
    return None if row.value == b"not json" else decode(topic.name, row.value)


def entries(topic: Topic, edit: Callable[[list[Any]], list[Any] | None]) -> Mutation:
    """Changes the entries of the first lot that `edit` has an opinion on; an emptied lot stays."""

    def change(row: Row, lot: Any) -> list[Row] | None:
        if not hasattr(lot, "entries") or (new := edit(list(lot.entries))) is None:
            return None
        return [row._replace(value=encode(msgspec.structs.replace(lot, entries=new)))]

    return edited(topic, change)


def entry(topic: Topic, type_: type, change: Callable[[Any], list[Any] | None], *, skip: int = 0) -> Mutation:
    """Changes one entry: the first of its type that `change` has an opinion on, after `skip` others."""
    seen = [0]

    def edit(entries: list[Any]) -> list[Any] | None:
        for i, entry in enumerate(entries):
            if isinstance(entry, type_) and (new := change(entry)) is not None:
                seen[0] += 1
                if seen[0] > skip:
                    return entries[:i] + new + entries[i + 1 :]
        return None

    return entries(topic, edit)


def changed(topic: Topic, type_: type, *, skip: int = 0, where: Where = bool, **fields: Any) -> Mutation:
    """One entry gets other fields; a callable makes the new value of the old entry."""

    def change(entry: Any) -> list[Any] | None:
        if not where(entry):
            return None
        return [replaced(entry, fields)]

    return entry(topic, type_, change, skip=skip)


def record(topic: Topic, type_: type, *, where: Where = bool, **fields: Any) -> Mutation:
    """One record gets other fields."""

    def edit(row: Row, record: Any) -> list[Row] | None:
        if not isinstance(record, type_) or not where(record):
            return None
        return [row._replace(value=encode(replaced(record, fields)))]

    return edited(topic, edit)


def replaced(record: Any, fields: dict[str, Any]) -> Any:
    new = {name: value(record) if callable(value) else value for name, value in fields.items()}
    return msgspec.structs.replace(record, **new)


def dropped(topic: Topic, where: Where = bool) -> Mutation:
    return edited(topic, lambda _, record: [] if where(record) else None)


def doubled(topic: Topic, where: Where = bool) -> Mutation:
    return edited(topic, lambda row, record: [row, row] if where(record) else None)


def moved(topic: Topic, where: Where = bool) -> Mutation:
    return edited(topic, lambda row, record: [row._replace(partition=row.partition ^ 1)] if where(record) else None)


def stored(edit: Callable[[list[StoredMessage]], list[StoredMessage]]) -> Mutation:
    return lambda world: World(
        world.topics, world.partitions, world.links, edit(list(world.stored or [])), world.cached
    )


def cached(edit: Callable[[list[StoredMessage]], list[StoredMessage]]) -> Mutation:
    return lambda world: World(
        world.topics, world.partitions, world.links, world.stored, edit(list(world.cached or []))
    )


def appended(topic: Topic, partition: int, value: bytes) -> Mutation:
    def mutate(world: World) -> World:
        rows = list(world.topics[topic.name])
        offset = max((row.offset for row in rows if row.partition == partition), default=-1) + 1
        return with_rows(world, topic, [*rows, Row(partition, offset, world.newest_ms(), None, value)])

    return mutate


def together(*mutations: Mutation) -> Mutation:
    def mutate(world: World) -> World:
        for mutation in mutations:
            world = mutation(world)
        return world

    return mutate
