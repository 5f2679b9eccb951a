"""Sessions that ask to hear something of a channel, as the users role tells the groups role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jobs.bench.lab import Filling
from jobs.bench.world import APP, Crowd
from topics.bindings import BindingLot, Listen
from topics.codec import encode
from topics.messages import MAIN
from topics.subscriptions import Level, Wanted

_LOT: Final = 500


def listening(crowd: Crowd, level: Level) -> Iterator[Filling]:
    """Everybody of a crowd of one group asks to hear its channel so; nobody waits for an answer."""
    wanted = [Wanted(level, MAIN)]
    partition, _ = crowd.keyed(0)
    for first in range(0, crowd.members, _LOT):
        lot = [_listen(crowd, ordinal, wanted) for ordinal in range(first, min(first + _LOT, crowd.members))]
        yield partition, None, encode(BindingLot([*lot]))


def _listen(crowd: Crowd, ordinal: int, wanted: list[Wanted]) -> Listen:
    to = crowd.session(0, ordinal)
    user = crowd.user(0, ordinal)
    return Listen(APP, crowd.group(0), user, to.link, to.epoch, to.partition, to.slot, wanted, resumed=True)
