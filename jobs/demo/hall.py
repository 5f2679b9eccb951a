"""The server of a demo: what its members, roles and channels are, and what is done to it. Pure, as the scenario is.

It means to know who holds which role; what really happens is decided by the pipeline. Some commands are asked for by
members who may not, some name who is gone, and some messages go where the sender sees nothing: all that is to be
refused, and judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from jobs.demo.pool import Pool

HALL: Final = "hall"
_ROLES: Final = tuple(f"role{number}" for number in range(8))
_PUBLIC: Final = ("news", "lounge", "market")
_PRIVATE: Final = ("staff", "council", "vault", "garden")
_FOLLOWING: Final = ("east", "west")  # both follow the category
_CATEGORY: Final = "wing"
CHANNELS: Final = (*_PUBLIC, *_PRIVATE, *_FOLLOWING)
_PASSING: Final = "booth"  # comes and goes
_GUESTS: Final = "guests"  # a role that comes and goes
_FEW: Final = 40
_BY_A_MEMBER: Final = 0.1
_BY_THE_OWNER: Final = 0.2
_OF_ROLE: Final = 0.7  # speakers of private channels who mean to have a role that shows them
_TRIES: Final = 30
_MUTED_MS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the contract on the server.

    Attributes:
        what: its kind, `edit_list`, ...
        fields: its own fields, by name.
        lasts_ms: where it has an `until`: so long from when it is sent.
    """

    what: str
    fields: tuple[tuple[str, Any], ...]
    lasts_ms: int | None = None


class Hall:
    """What happens in the server; a seed gives the same every time.

    Attributes:
        members: its first members; the first one owns it.
    """

    def __init__(self, random: Random, users: Sequence[str], count: int) -> None:
        """Choose the members.

        Args:
            random: decides.
            users: all users.
            count: how many of them are members.
        """
        self.members = random.sample(users, min(count, len(users)))
        self._random = random
        self._users = users
        self._in = Pool(self.members)
        self._roles = {role: Pool() for role in _ROLES}
        self._shown = {channel: random.sample(_ROLES, 2) for channel in (*_PRIVATE, _CATEGORY)}
        self._banned = Pool()
        self._passing = False
        self._guests = False
        changes: list[tuple[int, Callable[[], Command]]] = [
            *((8, self._give), (8, self._take), (6, self._list_users), (4, self._list_roles)),
            *((2, self._join), (2, self._kick), (1, self._ban), (1, self._unban)),
            *((2, self._mute), (1, self._mode), (1, self._follow), (1, self._override)),
            *((1, self._pass_by), (1, self._come_as_guests)),
        ]
        self._changes = [make for weight, make in changes for _ in range(weight)]

    def begin(self) -> Iterator[Command]:
        """The server comes to be, with its roles and channels."""
        yield _command("create_group", kind="server", members=self.members, owner=self.members[0])
        for priority, role in enumerate(_ROLES, 1):
            yield _command("create_role", role=role, priority=priority)
            yield self._given(role, self._random.sample(self.members, max(1, len(self.members) // 10)))
        for channel in _PUBLIC:
            yield _command("create_channel", channel=channel)
        for channel in _PRIVATE:
            yield _command("create_channel", channel=channel, view_mode="private", white_roles=self._shown[channel])
        shown = self._shown[_CATEGORY]
        yield _command("create_category", category=_CATEGORY, view_mode="private", white_roles=shown)
        for channel in _FOLLOWING:
            yield _command("create_channel", channel=channel, category=_CATEGORY, sync=True)

    def change(self) -> Command:
        """Something is changed, as a rule by the back end."""
        command = self._random.choice(self._changes)()
        chance = self._random.random()
        if chance < _BY_A_MEMBER:
            return Command(command.what, (*command.fields, ("by", self._in.draw(self._random))), command.lasts_ms)
        if chance < _BY_A_MEMBER + _BY_THE_OWNER:
            return Command(command.what, (*command.fields, ("by", self.members[0])), command.lasts_ms)
        return command

    def speaker(self, online: Pool) -> tuple[str, str] | None:
        """Somebody online who says something, and in which channel; None if nobody is found."""
        channel = self._random.choice((*CHANNELS, *_PUBLIC, _PASSING) if self._passing else (*CHANNELS, *_PUBLIC))
        roles = self._shown.get(_CATEGORY if channel in _FOLLOWING else channel, [])
        known = [self._roles[role] for role in roles if len(self._roles[role])]
        pool = self._random.choice(known) if known and self._random.random() < _OF_ROLE else self._in
        drawn = (pool.draw(self._random) for _ in range(_TRIES))
        user = next((user for user in drawn if user in online), None)
        return None if user is None else (user, channel)

    def _some(self, pool: Pool, most: int = _FEW) -> list[str]:
        return sorted({pool.draw(self._random) for _ in range(self._random.randint(1, most))})

    def _given(self, role: str, users: Sequence[str]) -> Command:
        for user in users:
            self._roles[role].add(user)
        return _command("add_role_members", role=role, users=sorted(users))

    def _give(self) -> Command:
        return self._given(self._random.choice(_ROLES), self._some(self._in))

    def _take(self) -> Command:
        role = self._random.choice(_ROLES)
        users = self._some(self._roles[role] if len(self._roles[role]) else self._in)
        for user in users:
            self._roles[role].discard(user)
        return _command("remove_role_members", role=role, users=users)

    def _place(self) -> dict[str, str]:
        place = self._random.choice((*_PUBLIC, *_PRIVATE, _CATEGORY))
        return {"category" if place == _CATEGORY else "channel": place}

    def _list_users(self) -> Command:
        edit = self._random.choice(("add_users", "remove_users"))
        return _command("edit_list", which=self._which(), **self._place(), **{edit: self._some(self._in)})

    def _list_roles(self) -> Command:
        edit = self._random.choice(("add_roles", "remove_roles"))
        return _command("edit_list", which=self._which(), **self._place(), **{edit: [self._random.choice(_ROLES)]})

    def _which(self) -> str:
        return self._random.choice(("white", "black"))

    def _join(self) -> Command:
        users = sorted({self._random.choice(self._users) for _ in range(self._random.randint(1, _FEW))})
        for user in users:
            if user not in self._banned:
                self._in.add(user)
        return _command("add_members", users=users)

    def _out(self, users: Sequence[str]) -> None:
        for pool in (self._in, *self._roles.values()):
            for user in users:
                pool.discard(user)

    def _kick(self) -> Command:
        users = [user for user in self._some(self._in, 5) if user != self.members[0]] or [self.members[-1]]
        self._out(users)
        return _command("remove_members", users=users)

    def _ban(self) -> Command:
        users = [user for user in self._some(self._in, 3) if user != self.members[0]] or [self.members[-1]]
        self._out(users)
        for user in users:
            self._banned.add(user)
        return _command("ban_members", users=users)

    def _unban(self) -> Command:
        users = self._some(self._banned, 3) if len(self._banned) else [self.members[-1]]
        for user in users:
            self._banned.discard(user)
        return _command("unban_members", users=users)

    def _mute(self) -> Command:
        chance = self._random.random()
        if chance < 1 / 4:
            return _command("mute", _MUTED_MS // 4, channel=self._random.choice(CHANNELS))
        return _command("mute", _MUTED_MS, users=self._some(self._in, 5))

    def _mode(self) -> Command:
        channel = self._random.choice(_PUBLIC)
        return _command("update_channel", channel=channel, view_mode=self._random.choice(("public", "private")))

    def _follow(self) -> Command:
        channel = self._random.choice(_FOLLOWING)
        return _command("update_channel", channel=channel, sync=self._random.random() < 1 / 2)

    def _override(self) -> Command:
        who = {"role": self._random.choice(_ROLES)} if self._random.random() < 1 / 2 else {"user": self.members[1]}
        deny = ["send"] if self._random.random() < 1 / 2 else []
        return _command("set_override", **self._place(), **who, deny=deny)

    def _pass_by(self) -> Command:
        self._passing = not self._passing
        if self._passing:
            return _command("create_channel", channel=_PASSING, view_mode="private", white_roles=[_ROLES[0]])
        return _command("delete_channel", channel=_PASSING)

    def _come_as_guests(self) -> Command:
        self._guests = not self._guests
        if self._guests:
            return _command("create_role", role=_GUESTS, allow=["mention_all"])
        return _command("delete_role", role=_GUESTS)


def _command(what: str, lasts_ms: int | None = None, /, **fields: Any) -> Command:
    return Command(what, tuple(fields.items()), lasts_ms)
