"""What a group's events made of it, at every version: who sees which channel, who may do what, who is muted.

Everything can be asked at any version, as each value knows since when it was so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.verify.changes import APPLY, TOUCHES
from jobs.verify.ever import Ever
from jobs.verify.lives import Life
from topics.entities import Permission
from topics.events import GroupCreated, GroupDeleted, RelationEvent


@dataclass(slots=True)
class Relations:
    """All lives of one group."""

    life: Ever[Life | None] = field(default_factory=lambda: Ever(None))
    #: (version, ordinals whose view of some channel may have changed by it; None: anybody's). Others changed nobody's.
    touched: list[tuple[int, list[int] | None]] = field(default_factory=list)

    # -- what is asked -----------------------------------------------------------------------------------------------

    def is_channel(self, channel: str, version: int) -> bool:
        """Whether there was such a channel."""
        life = self.life.at(version)
        return life is not None and life.channel(channel, version) is not None

    def sees(self, user: str, channel: str, version: int) -> bool:
        """Whether a user, being a member, saw a channel."""
        life = self.life.at(version)
        found = life.channel(channel, version) if life is not None else None
        if life is None or found is None or not life.members.has(user, version):
            return False
        if life.owner.at(version) == user:
            return True
        place = life.place(found, version)
        private = place.mode.at(version) == "private"
        listed = place.lists["white" if private else "black"]
        named = listed.users.has(user, version) or any(
            life.holds(user, role, version) for role in listed.roles.at(version)
        )
        return named == private

    def visitor_sees(self, channel: str, version: int) -> bool:
        """Whether who is no member saw a channel."""
        life = self.life.at(version)
        found = life.channel(channel, version) if life is not None else None
        if life is None or found is None:
            return False
        mode = found.channel.at(version).visitor_mode
        return mode == "visible" or (mode == "follow" and life.place(found, version).mode.at(version) == "public")

    def permissions(self, user: str, channel: str | None, version: int) -> frozenset[Permission]:
        """What a member might do: on the group's level, or in a channel."""
        life = self.life.at(version)
        if life is None:
            return frozenset()
        found = life.channel(channel, version) if channel is not None else None
        return life.permissions(user, version, life.levels(found, version))

    def may(self, user: str, permission: Permission, channel: str | None, version: int) -> bool:
        """Whether a member might do that."""
        return permission in self.permissions(user, channel, version)

    def muted(self, user: str, channel: str, version: int, at_ms: int) -> bool:
        """Whether a member's sends into a channel were refused at a moment."""
        life = self.life.at(version)
        if life is None:
            return False
        if (mute := life.mutes.get(user)) is not None and mute.at(version) > at_ms:
            return True
        found = life.channel(channel, version)
        until_ms = life.muted_until.at(version)
        if found is not None:
            until_ms = max(until_ms, found.channel.at(version).muted_until)
        return until_ms > at_ms and not self.may(user, "mute", channel, version)

    def might_send(self, user: str, channel: str, version: int, at_ms: int) -> bool:
        """Whether nothing was against a member's message."""
        return (
            self.sees(user, channel, version)
            and self.may(user, "send", channel, version)
            and not self.muted(user, channel, version, at_ms)
        )

    # -- what happened -----------------------------------------------------------------------------------------------

    def apply(self, event: RelationEvent) -> None:
        """The next event."""
        if isinstance(event, GroupCreated):
            self.life.set(event.version, Life(event))
            self.touched.append((event.version, None))
        elif isinstance(event, GroupDeleted):
            self.life.set(event.version, None)
            self.touched.append((event.version, None))
        elif (life := self.life.now) is not None and (apply := APPLY.get(type(event))) is not None:
            apply(life, event)
            if type(event) in TOUCHES:
                self.touched.append((event.version, TOUCHES[type(event)](event)))
