"""A back end without a session: makes groups, adds members, sends a message, and waits for each answer.

Written from the contract alone. `python -m examples.back_end --kafka 127.0.0.1:19092`, while the pipeline runs; with
`server` a server with members, an invite, a ban and a million users to come in parts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import uuid
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import murmur2

LOT_USERS = 10_000  # in one record, at most
_AGAIN_S = 5.0


class BackEnd:
    """Writes commands and sends of one app. It may ask for many things at once, each under a name of its own."""

    def __init__(self, kafka: str, app: str) -> None:
        self.app = app
        self.requester = uuid.uuid4().hex  # another one at each start, so that no old answer is taken for ours
        self._kafka = kafka
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}

    async def __aenter__(self) -> Self:
        """Begins to listen before anything is asked."""
        self._producer = AIOKafkaProducer(bootstrap_servers=self._kafka, acks="all", enable_idempotence=True)
        await self._producer.start()
        self._partitions = len(await self._producer.partitions_for("messages"))
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka, isolation_level="read_committed", enable_auto_commit=False
        )
        await self._consumer.start()
        answers = TopicPartition("answers", self._partition(self.requester))
        self._consumer.assign([answers])
        await self._consumer.seek_to_end(answers)
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops listening."""
        self._reading.cancel()
        await self._consumer.stop()
        await self._producer.stop()

    async def command(self, kind: str, group: str, /, **fields: Any) -> dict[str, Any]:
        """Changes a group; the answer is `applied`, or `refused` with a code."""
        request = uuid.uuid4().hex
        return await self._ask("relations", group, request, {"t": kind, "request": request, **fields})

    async def send(self, group: str, sender: str, body: object) -> dict[str, Any]:
        """Sends in the name of a member; the answer is `accepted` with the seq, or `refused` with a code."""
        client_id = uuid.uuid4().hex
        record = {"t": "send", "sender": sender, "device": "back-end", "client_id": client_id, "body": body}
        return await self._ask("messages", group, client_id, record | {"tried_at": time.time_ns() // 1_000_000})

    async def _ask(self, topic: str, group: str, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Write the record, and the very same again for as long as there is no answer: twice is harmless."""
        record = fields | {"app": self.app, "group": group, "reply": {"t": "requester", "requester": self.requester}}
        key = f"{self.app}:{group}"
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[name] = answer
        while not answer.done():
            value = json.dumps(record).encode()
            await self._producer.send_and_wait(topic, value, key.encode(), self._partition(key))
            await asyncio.wait([answer], timeout=_AGAIN_S)
        return answer.result()

    async def _read(self) -> None:
        async for record in self._consumer:
            for entry in json.loads(record.value)["entries"]:
                answer = entry["answer"]
                name = answer.get("request") or answer.get("client_id")
                if entry["requester"] == self.requester and name in self._waiting:
                    self._waiting.pop(name).set_result(answer)

    def _partition(self, key: str) -> int:
        number: int = murmur2(key.encode())
        return (number & 0x7FFFFFFF) % self._partitions


async def team(back_end: BackEnd) -> None:
    """Make a group, add one more, send, and be refused."""
    for answer in (
        await back_end.command("create_group", "orders", members=["shop", "ann"]),
        await back_end.command("add_members", "orders", users=["bob"]),
        await back_end.send("orders", "shop", {"text": "Order 4711 is on its way."}),
        await back_end.send("orders", "eve", {"text": "Me too!"}),
    ):
        print(json.dumps(answer))  # noqa: T201 - what it is for


async def server(back_end: BackEnd) -> None:
    """Make a server, let users in and keep one out, and add many in parts; some by a user, some as the system."""
    group = f"fans-{uuid.uuid4().hex[:8]}"
    users = [f"fan-{number}" for number in range(25_000)]
    lots = [users[start : start + LOT_USERS] for start in range(0, len(users), LOT_USERS)]
    for answer in (
        await back_end.command("create_group", group, kind="server", members=["ann", "bob"], owner="ann"),
        await back_end.command("invite", group, by="bob", invite="i-1", user="eve", text="Come and see!"),
        await back_end.command("answer_invite", group, by="eve", invite="i-1", accept=True),
        await back_end.command("create_code", group, by="ann", code=uuid.uuid4().hex, uses=100),
        await back_end.command("remove_members", group, by="bob", users=["eve"]),  # refused: bob may not
        await back_end.command("ban_members", group, by="ann", users=["eve"]),
        await back_end.command("join", group, by="eve", user="eve"),  # refused: banned
        *[
            await back_end.command("add_members", group, users=lot, change_set="fans", part=part, parts=len(lots))
            for part, lot in enumerate(lots, 1)
        ],
        await back_end.command("delete_group", group),
    ):
        print(json.dumps(answer))  # noqa: T201 - what it is for


async def main(kafka: str, example: str) -> None:
    """Run one of the examples."""
    async with BackEnd(kafka, "demo") as back_end:
        await {"team": team, "server": server}[example](back_end)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("example", nargs="?", choices=["team", "server"], default="team")
    parser.add_argument("--kafka", default="127.0.0.1:19092", help="brokers, by commas (127.0.0.1:19092)")
    given = parser.parse_args()
    asyncio.run(main(given.kafka, given.example))
