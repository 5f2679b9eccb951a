"""The newest events of a partition: without a hole, within their budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.eventlog import EventLog
from topics import limits

GROUPS = [b"app:a", b"app:b"]
notes = st.lists(st.tuples(st.sampled_from(GROUPS), st.integers(1, 40)), max_size=60)


@given(notes, st.integers(0, 20))
def test_what_is_here_of_a_group_are_its_newest_events_without_a_hole(
    noted: list[tuple[bytes, int]], known: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "EVENT_LOG_BYTES", 200)
        log, all_of = EventLog(), {group: [b""] for group in GROUPS}
        for group, size in noted:
            all_of[group].append(b"x" * size)
            log.note(group, len(all_of[group]) - 1, all_of[group][-1])
        held = 0
        for group, events in all_of.items():
            found = log.after(group, known)
            begin = len(events) - len(found)
            assert [(one.version, one.event) for one in found] == list(enumerate(events))[begin:]
            assert begin > known or not found
            held += sum(len(one.event) for one in log.after(group, 0))
        assert held <= limits.EVENT_LOG_BYTES
        if sum(size for _, size in noted) <= limits.EVENT_LOG_BYTES:
            assert sum(len(log.after(group, 0)) for group in GROUPS) == len(noted)
