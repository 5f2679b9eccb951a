"""Gateways whose clients do otherwise than they must."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from linkcast_gateway import Answer, Group, Link, Message, Session, Timeline, wire
from tests.conformance.broken.base import (
    gateway,
    of_client,
    of_driver,
    of_link,
    of_timeline,
    plain_on_live,
)


def hides_codes() -> None:
    on_answer = gateway.on_answer

    def hidden(self: Any, slot: int, answer: Any) -> None:
        if isinstance(answer, wire.Refused):
            answer.code = "refused"
        on_answer(self, slot, answer)

    gateway.on_answer = hidden


def counts_tries_in_seconds() -> None:
    send = Link.send

    async def seconds(
        self: Link, session: Any, group: str, client_id: str, tried_at: int, *rest: Any, **more: Any
    ) -> None:
        await send(self, session, group, client_id, tried_at // 1_000, *rest, **more)

    of_link.send = seconds


def sends_for_another_device() -> None:
    send = Link.send

    async def other(self: Link, session: Session, *rest: Any, **more: Any) -> None:
        await send(self, _of_no_device(self, session), *rest, **more)

    of_link.send = other


def _of_no_device(of: Link, session: Session) -> Session:
    other = of.sessions[session.slot] = replace(session, device="any")
    return other


def routes_answers_by_client_id() -> None:
    def on_answer(self: Any, _: int, answer: Answer) -> None:
        self._push(wire.encode(answer), tuple(self._connections))

    gateway.on_answer = on_answer


def never_sends_again() -> None:
    of_driver._RESEND_S = 1_000.0


def takes_a_resend_for_a_new_try() -> None:
    send = Link.send

    async def now(self: Link, session: Any, group: str, client_id: str, _: int, *rest: Any, **more: Any) -> None:
        await send(self, session, group, client_id, time.time_ns() // 1_000_000, *rest, **more)

    of_link.send = now


def shows_what_comes() -> None:
    def push(self: Timeline, message: Message) -> list[Message]:
        self.last = max(self.last, message.seq)
        return [message]

    of_timeline.push = push


def overlooks_gaps() -> None:
    push = Timeline.push

    def skipping(self: Timeline, message: Message) -> list[Message]:
        message.prev = min(message.prev, self.last)
        return push(self, message)

    of_timeline.push = skipping


def counts_seqs_by_one() -> None:
    push = Timeline.push

    def dense(self: Timeline, message: Message) -> list[Message]:
        message.prev = message.seq - 1
        return push(self, message)

    of_timeline.push = dense


def overlooks_heads() -> None:
    def on_head(*_: Any) -> None:
        return

    gateway.on_head = on_head


def begins_with_the_next_message() -> None:
    def on_live(self: Any, group: Group, slots: Sequence[int], _: Any) -> None:
        plain_on_live(self, group, slots, [])

    overlooks_gaps()
    gateway.on_live = on_live


def pulls_once() -> None:
    async def pull_soon(*_: Any) -> None:
        return

    of_client._pull_soon = pull_soon


VARIANTS: Final[dict[Callable[[], None], str]] = {
    hides_codes: "refused",
    counts_tries_in_seconds: "send",
    sends_for_another_device: "send",
    routes_answers_by_client_id: "answers",
    never_sends_again: "resend",
    takes_a_resend_for_a_new_try: "resend",
    shows_what_comes: "known_message",
    overlooks_gaps: "gap",
    counts_seqs_by_one: "sparse_seqs",
    overlooks_heads: "head",
    begins_with_the_next_message: "live_then_pull",
    pulls_once: "not_stored_yet",
}
