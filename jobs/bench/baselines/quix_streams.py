"""The job on Quix Streams, as its guide writes it: a stateful step, outputs by `to_topic`, at least once (its default).

It runs in an environment of its own (quix.lock). Every group is online on the same ten links. A message is numbered,
the number is kept in state, the message goes once to each link and to history. It does less than Linkcast does: no
membership check, no resends known, no bindings, no transactions.

    BENCH_BOOTSTRAP=127.0.0.1:9092 python quix_streams.py
"""

from __future__ import annotations

import os
from typing import Any

from quixstreams import Application, State

LINKS = 10


def number(send: dict[str, Any], state: State) -> dict[str, Any]:
    """The message with the next number of its group."""
    seq = state.get("seq", 0) + 1
    state.set("seq", seq)
    kept = ("app", "group", "sender", "device", "client_id", "body")
    return {"seq": seq, "prev": seq - 1} | {name: send[name] for name in kept}


def once_per_link(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The message for each link."""
    return [{"link": f"L{link}", **message} for link in range(LINKS)]


def main() -> None:
    """Work until stopped."""
    app = Application(
        broker_address=os.environ["BENCH_BOOTSTRAP"],
        consumer_group="quix",
        state_dir=os.environ["BENCH_DATA"],
        auto_offset_reset="earliest",
        auto_create_topics=True,
        loglevel="WARNING",
    )
    messages = app.topic("messages", key_deserializer="bytes", value_deserializer="json")
    deliveries = app.topic("deliveries", key_serializer="str", value_serializer="json")
    history = app.topic("history", key_serializer="bytes", value_serializer="json")

    numbered = app.dataframe(messages).apply(number, stateful=True)
    numbered.to_topic(history)
    numbered.apply(once_per_link, expand=True).to_topic(deliveries, key=lambda row: row["link"])
    app.run()


if __name__ == "__main__":
    main()
