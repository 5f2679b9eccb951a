"""The tray for notices: what a batch put into inboxes, for the sessions that these users have when it ends."""

from __future__ import annotations

from streams.users.replies import put
from tables.batch import Outputs
from tables.inbox import Taken
from tables.sessions import Sessions
from topics.codec import encode
from topics.deliveries import NoticeLot
from topics.notices import Kept, NoticeOut
from topics.wire import LinkAddress


class Told:
    """Notices of one batch, by user."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._of: dict[tuple[str, str], dict[int, Kept]] = {}

    def add(self, app: str, user: str, taken: Taken) -> None:
        """A user has another notice; one that it replaces is not told any more."""
        notices = self._of.setdefault((app, user), {})
        if taken.replaced is not None:
            notices.pop(taken.replaced, None)
        notices[taken.kept.number] = taken.kept

    def drain(self, out: Outputs) -> None:
        """Write all of it; nothing for those offline."""
        by_link: dict[LinkAddress, list[bytes]] = {}
        for (app, user), notices in self._of.items():
            out.counts["notices"] += len(notices)
            for address, slots in self._slots(app, user).items():
                entries = by_link.setdefault(address, [])
                entries.extend([encode(NoticeOut(app, user, slots, kept)) for kept in notices.values()])
        put(out, by_link, NoticeLot)
        self._of = {}

    def _slots(self, app: str, user: str) -> dict[LinkAddress, list[int]]:
        """Each link that the user has sessions on, and which."""
        slots: dict[LinkAddress, list[int]] = {}
        for session in self._sessions.of(app, user):
            if not session.lost_until:
                slots.setdefault(session.address, []).append(session.slot)
        return slots
