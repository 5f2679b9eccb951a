"""The newest messages of each channel in Redis: a cache that may forget, and says when it did.

A channel is a stream, `app:group:channel:recent`, whose ids are `seq-0`. What later changes a message goes beside it,
not into it, under another ending of the same key. `:epoch` names the cache's life, and the second when it began: a
reader that finds none, as after a restart, does not trust the rest; one that finds another than before knows that all
it remembers is gone.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from streams.batches.counters import STEP_BOUNDS_S, Spread
from streams.settings import Settings
from streams.sinks.core import Entry
from streams.sinks.patience import AwayError
from topics import limits

log = logging.getLogger(__name__)

#: No app's key begins so: an app's id is never empty.
EPOCH: Final = ":epoch"
_SOCKET_S: Final = 3.0
_EPOCH_BYTES: Final = 8

#: Gives the epoch; begins one where there is none.
_LIVE: Final = """\
redis.call('SET', KEYS[1], redis.call('TIME')[1] .. '-' .. ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
"""

#: Appends (seq, message) pairs to a stream, leaving out what it has; a replayed batch changes nothing.
_APPEND: Final = """\
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local newest = last and tonumber(string.match(last[1], '^%d+')) or 0
for i = 3, #ARGV, 2 do
  if tonumber(ARGV[i]) > newest then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], ARGV[i] .. '-0', 'm', ARGV[i + 1])
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""

Answers = list[Any]  # Any: each command's own


def recent_key(app: str, group: str, channel: str) -> str:
    """The key of a channel's stream."""
    return f"{app}:{group}:{channel}:recent"


class RecentCache:
    """The cache. It connects on first use and again whenever the connection was lost."""

    def __init__(self, settings: Settings) -> None:
        self.epoch: bytes | None = None  #: as last seen
        self.seconds = {"write": Spread(STEP_BOUNDS_S), "read": Spread(STEP_BOUNDS_S)}  #: of round trips answered
        self._redis = Redis.from_url(
            settings.redis_url,
            socket_timeout=_SOCKET_S,
            socket_connect_timeout=_SOCKET_S,
            retry=Retry(NoBackoff(), 0),  # those who call know how long to wait
        )

    async def write(self, entries: Sequence[Entry]) -> None:
        """Append messages to their channels' streams; those there already are left alone.

        Raises:
            AwayError: Redis does not answer, or takes nothing now. Some may be written; the same again does no harm.
        """
        for streams in _cut(_by_stream(entries)):
            await self._append(streams)

    async def read(self, app: str, group: str, channel: str, low: int, high: int) -> dict[int, bytes]:
        """Those of a channel's messages from `low` up to `high` that are here, encoded as they travel.

        Raises:
            AwayError: Redis does not answer.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(EPOCH)
            pipe.xrange(recent_key(app, group, channel), str(low), str(high))
            epoch, found = await _run(pipe, self.seconds["read"])
        if isinstance(found, Exception):
            log.warning("redis: %s", found)
            found = []
        self._saw(epoch)
        if epoch is None:
            return {}
        return {int(id_.partition(b"-")[0]): fields[b"m"] for id_, fields in found}

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()

    async def _append(self, streams: list[tuple[str, list[Entry]]]) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.eval(_LIVE, 1, EPOCH, secrets.token_hex(_EPOCH_BYTES))
            for key, entries in streams:
                pairs = (part for entry in entries for part in (entry.message.seq, entry.encoded))
                pipe.eval(_APPEND, 1, key, limits.CACHE_ENTRIES, limits.CACHE_IDLE_S, *pairs)
            epoch, *answers = await _run(pipe, self.seconds["write"])
        self._saw(epoch)
        for (key, _), answer in zip(streams, answers, strict=True):
            if isinstance(answer, RedisError):
                await self._mend(key, answer)

    async def _mend(self, key: str, error: RedisError) -> None:
        """Another kind of value under a stream's key is nobody's: it goes. Everything else may pass."""
        if "WRONGTYPE" in str(error):
            log.warning("redis: %s held no stream and was removed", key)
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.delete(key)
                await _run(pipe, self.seconds["write"])
        raise AwayError("redis", str(error))

    def _saw(self, epoch: object) -> None:
        seen = epoch if isinstance(epoch, bytes) else None
        if self.epoch is not None and seen != self.epoch:
            log.warning("redis: the cache was lost, and fills again")
        self.epoch = seen


async def _run(pipe: Any, seconds: Spread) -> Answers:  # Any: redis-py's pipelines are typed loosely
    began = time.perf_counter()
    try:
        answers = cast("Answers", await pipe.execute(raise_on_error=False))
    except (RedisError, OSError) as error:
        raise AwayError("redis", f"{type(error).__name__}: {error}") from error
    seconds.add(time.perf_counter() - began)
    return answers


def _by_stream(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Entries by their stream's key, in order, without those that the rest would push out."""
    streams: dict[str, list[Entry]] = {}
    for entry in entries:
        message = entry.message
        streams.setdefault(recent_key(message.app, message.group, message.channel), []).append(entry)
    return {key: of_key[-limits.CACHE_ENTRIES :] for key, of_key in streams.items()}


def _cut(streams: dict[str, list[Entry]]) -> list[list[tuple[str, list[Entry]]]]:
    """Streams in writes of about CACHE_WRITE_BYTES."""
    writes: list[list[tuple[str, list[Entry]]]] = []
    held = limits.CACHE_WRITE_BYTES
    for key, entries in streams.items():
        if held >= limits.CACHE_WRITE_BYTES:
            writes.append([])
            held = 0
        writes[-1].append((key, entries))
        held += sum(len(entry.encoded) for entry in entries)
    return writes
