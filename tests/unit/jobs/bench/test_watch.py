from __future__ import annotations

import base64

from pyroaring import BitMap

from jobs.bench.watch import Told, _Changed


def bitmap(*ordinals: int) -> str:
    return base64.b64encode(BitMap(ordinals).serialize()).decode()


def test_what_links_were_told_is_counted_and_the_last_moment_is_kept() -> None:
    told = Told()
    told.add(0, _Changed("g", 1, 7, bitmap(1, 2), bitmap(3)), seen_ms=20.0, appended_ms=10.0)
    told.add(1, _Changed("g", 1, 7, left=bitmap(4, 70_000)), seen_ms=15.0, appended_ms=12.0)
    told.add(1, _Changed("g", 2, 7, ended=True), seen_ms=16.0, appended_ms=12.0)
    assert (told.links, told.deltas, told.ended) == ({0, 1}, 3, 1)
    assert (told.seen_ms, told.appended_ms) == (20.0, 12.0)
    assert told.flips() == (2, 3)
