"""What the groups role had to say to persons: `notices`, read once for all who ask."""

from __future__ import annotations

from collections import defaultdict

from jobs.verify.findings import Findings
from jobs.verify.world import World, place
from topics import catalog
from topics.codec import Malformed
from topics.keys import key_of, partition_of
from topics.notices import Kept


class Said:
    """All notices to persons.

    Attributes:
        of_change: (app, group, the group's version) -> who was to be told of it, as what.
    """

    def __init__(self, world: World, findings: Findings) -> None:
        self.of_change: dict[tuple[str, str, int], list[tuple[str, str]]] = defaultdict(list)
        for row, lot in world.rows(catalog.NOTICES):
            if isinstance(lot, Malformed):
                findings.add("unreadable", place(catalog.NOTICES, row))
                continue
            for notice in lot.entries:
                told = [(user, notice.kind) for user in notice.users]
                self.of_change[notice.app, notice.group, notice.version] += told
                users = [key_of(notice.app, user) for user in notice.users]
                if any(partition_of(user, world.partitions) != row.partition for user in users):
                    findings.add("misplaced", f"{place(catalog.NOTICES, row)} {notice.users}")

    def to(self, app: str, user: str, notice: Kept) -> bool:
        """Whether this was to be told to a user."""
        return (user, notice.kind) in self.of_change.get((app, notice.group, notice.version), ())
