"""Which channels have so many messages a second that only those who show them get each one.

A burst begins when the messages of the last BURST_MS are more than the app's rate times that, and ends when they are
fewer than BURST_CALM of it: between the two it stays as it was. The last BURST_MS are taken as what came since the last
full window began, and the share of the window before that still counts; so a channel is one number a window.

In memory only: after a take-over a burst is seen anew as soon as its messages are. A partition remembers BURST_CHANNELS
channels a window, the first ones; one that has enough messages for a burst is among them, if not this time then next.
"""

from __future__ import annotations

from topics import limits

_Key = tuple[bytes, str]


class Bursts:
    """The channels of one partition."""

    def __init__(self) -> None:
        self._began_ms = 0  # of the window
        self._now: dict[_Key, int] = {}  # messages in the window
        self._before: dict[_Key, int] = {}  # and in the one before it
        self._over: dict[_Key, int] = {}  # channels in a burst, and how many messages in BURST_MS begin one

    def __len__(self) -> int:
        """How many channels were in a burst when a message was heard last, or this was asked: 0 means none is."""
        return len(self._over)

    def ongoing(self, now_ms: int) -> int:
        """How many channels are in a burst now."""
        if now_ms - self._began_ms >= limits.BURST_MS:
            self._turn(now_ms)
        return len(self._over)

    def heard(self, group: bytes, channel: str, now_ms: int, per_s: int) -> None:
        """A message was accepted, now, in a channel of a group whose app allows so many a second. O(1)."""
        if now_ms - self._began_ms >= limits.BURST_MS:
            self._turn(now_ms)
        key = (group, channel)
        counts = self._now
        if (count := counts.get(key, 0) + 1) == 1 and len(counts) >= limits.BURST_CHANNELS:
            return
        counts[key] = count
        before = self._before.get(key, 0)
        most = per_s * limits.BURST_MS // 1_000
        if count + before <= most and key not in self._over:  # as a rule
            return
        recent = count + before * (limits.BURST_MS - (now_ms - self._began_ms)) / limits.BURST_MS
        if recent > most:
            self._over[key] = most
        elif recent < most * limits.BURST_CALM:
            self._over.pop(key, None)

    def narrow(self, group: bytes, channel: str, now_ms: int) -> bool:
        """Whether the channel is in a burst. O(1)."""
        if now_ms - self._began_ms >= limits.BURST_MS:
            self._turn(now_ms)
        return (group, channel) in self._over

    def _turn(self, now_ms: int) -> None:
        """A window is over. O(channels in a burst): few, as each takes many messages."""
        passed = (now_ms - self._began_ms) // limits.BURST_MS
        self._before, self._now = self._now if passed == 1 else {}, {}
        self._began_ms += passed * limits.BURST_MS
        self._over = {
            key: most for key, most in self._over.items() if self._before.get(key, 0) >= most * limits.BURST_CALM
        }
