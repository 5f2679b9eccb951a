"""A store that is away is waited for, for as long as it takes; whoever looks is told what is waited for."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

log = logging.getLogger(__name__)
T = TypeVar("T")

_FIRST_S: Final = 0.1
_MOST_S: Final = 3.0


class AwayError(Exception):
    """A store does not answer, or not now: the same again may succeed later."""

    def __init__(self, store: str, detail: str) -> None:
        super().__init__(f"{store} away: {detail}")


async def patiently(attempt: Callable[[], Awaitable[T]], tell: Callable[[str | None], None]) -> T:
    """Tries until the store answers.

    Args:
        attempt: one try; what it finished in an earlier one it need not do again.
        tell: hears why it waits, and None once it waits no more.
    """

    async def once() -> T:  # tenacity awaits only what is declared as a coroutine function
        return await attempt()

    def waits(state: RetryCallState) -> None:
        reason = str(state.outcome.exception()) if state.outcome else ""
        tell(reason)
        log.warning("try %d: %s", state.attempt_number, reason)

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(AwayError),
        wait=wait_exponential_jitter(multiplier=_FIRST_S, max=_MOST_S, jitter=_FIRST_S),
        before_sleep=waits,
        reraise=True,
    )
    try:
        return await retrying(once)
    finally:
        tell(None)
