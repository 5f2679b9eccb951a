"""The job on stock Faust, as its guide writes it: Records, a Table changed per event, `topic.send` per link.

Groups come from `relations`; every group is online on the same ten links. A message is numbered, the number is kept in
a Table, the message goes to each link's partition and to history. It does less than Linkcast does: no membership check,
no resends known, no bindings, no transactions (at least once).

    BENCH_BOOTSTRAP=127.0.0.1:9092 faust -A jobs.bench.baselines.stock_faust -L uvloop worker -l warn
"""

from __future__ import annotations

import os
from typing import Any

import faust

LINKS = 10
PARTITIONS = int(os.environ.get("BENCH_PARTITIONS", "4"))


class CreateGroup(faust.Record):
    """A group comes to be."""

    app: str
    group: str
    members: list[str] = []  # noqa: RUF012 -- as Faust's guide writes defaults


class Send(faust.Record):
    """A user sends a message."""

    app: str
    group: str
    sender: str
    device: str
    client_id: str
    tried_at: int
    body: str


class Group(faust.Record):
    """What is kept of a group."""

    links: list[int]
    seq: int = 0


class Delivery(faust.Record):
    """A numbered message."""

    app: str
    group: str
    seq: int
    prev: int
    sender: str
    device: str
    client_id: str
    body: str


app = faust.App(
    "stock-faust",
    broker=f"kafka://{os.environ.get('BENCH_BOOTSTRAP', '127.0.0.1:9092')}",
    datadir=os.environ.get("BENCH_DATA", "stock-faust"),
    store="rocksdb://",
    topic_partitions=PARTITIONS,
    topic_disable_leader=True,
    web_enabled=False,
)
relations = app.topic("relations", key_type=bytes, value_type=CreateGroup)
messages = app.topic("messages", key_type=bytes, value_type=Send)
deliveries = app.topic("deliveries", key_type=bytes, value_type=Delivery)
history = app.topic("history", key_type=bytes, value_type=Delivery)
groups = app.Table("groups", key_type=bytes, value_type=Group, partitions=PARTITIONS)


@app.agent(relations)
async def create(stream: Any) -> None:
    """Groups come to be."""
    async for event in stream.events():
        groups[event.key] = Group(links=list(range(LINKS)))


@app.agent(messages)
async def dispatch(stream: Any) -> None:
    """Number, keep, deliver."""
    async for key, send in stream.items():
        group = groups[key]
        group.seq += 1
        groups[key] = group
        delivery = Delivery(
            app=send.app,
            group=send.group,
            seq=group.seq,
            prev=group.seq - 1,
            sender=send.sender,
            device=send.device,
            client_id=send.client_id,
            body=send.body,
        )
        for link in group.links:
            await deliveries.send(key=key, value=delivery, partition=link)
        await history.send(key=key, value=delivery)
