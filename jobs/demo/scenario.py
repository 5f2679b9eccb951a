"""What happens in a demo: who there is, and what is done when. Pure: a seed gives the same every time.

It knows who is a member and who is online as it means it to be; what really happens, happens later and elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from jobs.demo.hall import CHANNELS, HALL, Command, Hall
from jobs.demo.pool import Pool
from topics.policy import Policy

TEAM: Final = "everyone"
#: The very large group that is made at the end.
TOWN: Final = "town"
LINKS: Final = ("L1", "L2", "L3")
#: The link that falls silent.
DOOMED: Final = LINKS[-1]
#: The group with a burst.
BUSY: Final = "g0"
#: The server is larger than what is subscribed to by joining, and the burst more than a channel has without notices.
POLICY: Final = Policy(subscribe_members=500, burst_per_s=25)

_STEP_MS: Final = 50
_SMALL_SIZES: Final = (20, 100)
_TRIES: Final = 30
_RESEND_MS: Final = (5, 3_000)
_LOT: Final = 5
_TOWN_LOT: Final = 5_000
_KILL_AT: Final = 0.3
_SILENCE_AT: Final = 0.5
_RETURN_MS: Final = (100, 3_000)
_BURST_AT: Final = 0.75
_SHOW_SMALL: Final = 0.2  # of the sessions of a small group: those that show it, and so subscribe
_MENTION: Final = 0.1
_MENTIONED: Final = 3
_SIGNAL_EVERY: Final = 10  # what is said in the server: one in so many is a signal


@dataclass(frozen=True, slots=True)
class Come:
    """A user comes online, on a link."""

    user: str
    link: str


@dataclass(frozen=True, slots=True)
class Go:
    """A user goes offline."""

    user: str


@dataclass(frozen=True, slots=True)
class Say:
    """A user sends a message; who is no member is refused."""

    user: str
    group: str
    client_id: str
    channel: str = "main"
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SayAgain:
    """A user's client sends once more, whether it was answered or not."""

    client_id: str


@dataclass(frozen=True, slots=True)
class Beckon:
    """A user signals."""

    user: str
    group: str
    channel: str = "main"


@dataclass(frozen=True, slots=True)
class Join:
    """Users become members."""

    group: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Users are members no more."""

    group: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """A user's device goes to the background, or comes from there."""

    user: str
    background: bool


@dataclass(frozen=True, slots=True)
class Lose:
    """A user's connection breaks; it is resumed soon, on a link."""

    user: str
    link: str


@dataclass(frozen=True, slots=True)
class Return:
    """A user whose connection broke resumes."""

    user: str


@dataclass(frozen=True, slots=True)
class KillWorker:
    """The groups worker is killed, and started again at once."""


@dataclass(frozen=True, slots=True)
class SilenceLink:
    """A link ends without a word; half of its users go elsewhere at once, the rest wait for it."""

    link: str


@dataclass(frozen=True, slots=True)
class RestartLink:
    """The link is back, and registers anew."""

    link: str


Action = (
    Come
    | Go
    | Say
    | SayAgain
    | Beckon
    | Join
    | Part
    | Turn
    | Lose
    | Return
    | Command
    | KillWorker
    | SilenceLink
    | RestartLink
)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a demo is.

    Attributes:
        seconds: how long it goes on.
        users: in the app; all of them are in the large team.
        groups: small ones.
        online: the share of users who are online.
        rate: messages a second, the large team's among them.
        team_rate: messages a second in the large team.
        comings: sessions a second that begin, and as many that end.
        changes: changes of members a second.
        hall: members of the server; 0: there is none.
        hall_rate: messages a second in its channels.
        rules: changes of its roles, channels, lists and members a second.
        turns: devices a second that go to the background, or come from there.
        losses: connections a second that break.
        burst_rate: messages a second in one small group, for a while.
        burst_s: how long.
        silence_s: how long the link is silent.
        town: members of the very large group, all users among them; 0: there is none.
        town_seconds: how long there are messages in it.
        town_rate: and how many a second.
    """

    seconds: int = 60
    users: int = 10_000
    groups: int = 200
    online: float = 0.3
    rate: float = 400
    team_rate: float = 3
    comings: float = 8
    changes: float = 4
    resends: float = 0.03
    strangers: float = 0.003
    signals: float = 5
    hall: int = 2_000
    hall_rate: float = 20
    rules: float = 4
    turns: float = 15
    losses: float = 6
    burst_rate: float = 60
    burst_s: float = 4
    silence_s: float = 13
    town: int = 0
    town_seconds: float = 10
    town_rate: float = 30


@dataclass(slots=True)
class Scenario:
    """A demo.

    Attributes:
        size: how large it is.
        groups: group -> its first members.
        first: who is online when it begins.
        actions: (milliseconds from the beginning, what is done), in order.
        hall: what makes the server, in order.
        town: the members of the very large group, in the lots in which they are imported.
        said: (milliseconds from when they are in, a message to all of them), in order.
    """

    size: Size
    groups: dict[str, list[str]]
    first: list[Come]
    actions: list[tuple[int, Action]] = field(default_factory=list)
    hall: list[Command] = field(default_factory=list)
    town: list[list[str]] = field(default_factory=list)
    said: list[tuple[int, Say]] = field(default_factory=list)


def shown(user: str, group: str) -> list[tuple[str, str | None]]:
    """What a user's device subscribes to in a group, (level, channel) each: the same whenever it is asked."""
    random = Random(f"{user} {group}")  # noqa: S311 - nothing secret
    if group == HALL:
        first, *others = random.sample(CHANNELS, 4)
        levels = ("messages", "unread_count", "unread_status")
        asked: list[tuple[str, str | None]] = [("messages", first), ("typing", first), ("server", None)]
        return [*asked, *((random.choice(levels), channel) for channel in others)]
    return [("messages", "main")] if random.random() < _SHOW_SMALL and group not in {TEAM, TOWN} else []


def write(seed: int, size: Size) -> Scenario:
    """The scenario of a seed."""
    # Of its own for the server, so that what happens elsewhere is the same with and without it.
    randoms = Random(seed), Random(f"{seed} {HALL}")  # noqa: S311 - nothing secret: it has to be the same every time
    return _Writer(*randoms, size).write()


class _Writer:
    def __init__(self, random: Random, of_hall: Random, size: Size) -> None:
        self._random = random
        self._of_hall = of_hall
        self._size = size
        users = [f"u{i}" for i in range(size.users)]
        groups = {TEAM: users}
        for i in range(size.groups):
            groups[f"g{i}"] = random.sample(users, min(random.randint(*_SMALL_SIZES), size.users))
        first = [Come(user, self._link()) for user in random.sample(users, int(size.users * size.online))]
        self._users = users
        self._online = Pool(come.user for come in first)
        self._background = Pool()
        self._members = {group: Pool(members) for group, members in groups.items()}
        self._small = [group for group in groups if group != TEAM]
        self._said = 0
        self._said_in_hall = 0
        self._scenario = Scenario(size, groups, first)
        self._hall = Hall(of_hall, users, size.hall) if size.hall else None
        if self._hall is not None:
            self._scenario.hall = [*self._hall.begin()]

    def write(self) -> Scenario:
        """All steps, then faults and resends, in the order of time."""
        size = self._size
        owed = dict.fromkeys(("small", "team", "signal", "come", "change", "turn", "loss"), 0.0)
        rates = {
            "small": max(size.rate - size.team_rate, 0),
            "team": size.team_rate,
            "signal": size.signals,
            "come": size.comings,
            "change": size.changes,
            "turn": size.turns,
            "loss": size.losses,
        }
        if self._hall is not None:
            rates |= {"hall": size.hall_rate, "rule": size.rules}
            owed |= dict.fromkeys(("hall", "rule"), 0.0)
        makers = {
            "small": lambda at: self._say(at, self._random.choice(self._small)),
            "team": lambda at: self._say(at, TEAM),
            "signal": self._beckon,
            "come": self._come_and_go,
            "change": self._change,
            "turn": self._turn,
            "loss": self._lose,
            "hall": self._say_in_hall,
            "rule": self._rule,
        }
        for step in range(0, size.seconds * 1_000, _STEP_MS):
            for what, rate in rates.items():
                owed[what] += rate * _STEP_MS / 1_000
                while owed[what] >= 1:
                    owed[what] -= 1
                    random = self._of_hall if what in {"hall", "rule"} else self._random
                    makers[what](step + random.randrange(_STEP_MS))
        self._burst()
        self._faults()
        self._scenario.actions.sort(key=lambda action: action[0])
        if size.town:
            self._town()
        return self._scenario

    def _town(self) -> None:
        """Everyone there is, and as many more as it takes; whoever is online at the end speaks."""
        size = self._size
        members = [*self._users, *(f"t{i}" for i in range(size.town - size.users))][: size.town]
        self._scenario.town = [members[at : at + _TOWN_LOT] for at in range(0, len(members), _TOWN_LOT)]
        known = set(members)
        speakers = [user for user in self._online if user in known]
        for number in range(int(size.town_seconds * size.town_rate)):
            say = Say(self._random.choice(speakers), TOWN, f"{TOWN}{number}")
            self._scenario.said.append((int(number * 1_000 / size.town_rate), say))

    def _add(self, at_ms: int, action: Action) -> None:
        self._scenario.actions.append((at_ms, action))

    def _link(self) -> str:
        return self._random.choice(LINKS)

    def _say(self, at_ms: int, group: str) -> None:
        stranger = self._random.random() < self._size.strangers
        user = self._online.draw(self._random) if stranger else self._someone_online(group)
        if user is None:
            return
        self._said += 1
        client_id = f"m{self._said}"
        self._add(at_ms, Say(user, group, client_id, mentions=self._mentions(self._random, group)))
        if self._random.random() < self._size.resends:
            self._add(at_ms + self._random.randint(*_RESEND_MS), SayAgain(client_id))

    def _beckon(self, at_ms: int) -> None:
        group = self._random.choice(self._small)
        if (user := self._someone_online(group)) is not None:
            self._add(at_ms, Beckon(user, group))

    def _say_in_hall(self, at_ms: int) -> None:
        if self._hall is None or (found := self._hall.speaker(self._online)) is None:
            return
        user, channel = found
        self._said_in_hall += 1
        if self._said_in_hall % _SIGNAL_EVERY == 0:
            self._add(at_ms, Beckon(user, HALL, channel))
            return
        client_id = f"h{self._said_in_hall}"
        self._add(at_ms, Say(user, HALL, client_id, channel, self._mentions(self._of_hall, HALL)))
        if self._of_hall.random() < self._size.resends:
            self._add(at_ms + self._of_hall.randint(*_RESEND_MS), SayAgain(client_id))

    def _mentions(self, random: Random, group: str) -> tuple[str, ...]:
        """Whom a message mentions: members as a rule, and now and then one who is none."""
        if random.random() >= _MENTION:
            return ()
        members = self._members.get(group)
        some = (random.choice(self._users) if members is None else members.draw(random) for _ in range(_MENTIONED))
        return tuple(sorted(set(some)))

    def _turn(self, at_ms: int) -> None:
        user = self._online.draw(self._random)
        background = user not in self._background
        (self._background.add if background else self._background.discard)(user)
        self._add(at_ms, Turn(user, background))

    def _lose(self, at_ms: int) -> None:
        user = self._online.draw(self._random)
        self._add(at_ms, Lose(user, self._link()))
        self._add(at_ms + self._random.randint(*_RETURN_MS), Return(user))

    def _burst(self) -> None:
        """So many messages in one group that only those who show it get each."""
        size = self._size
        if BUSY not in self._members:
            return
        begin_ms = int(size.seconds * 1_000 * _BURST_AT)
        for number in range(int(size.burst_s * size.burst_rate)):
            if (user := self._someone_online(BUSY)) is not None:
                at_ms = begin_ms + int(number * 1_000 / size.burst_rate)
                self._add(at_ms, Say(user, BUSY, f"b{number}"))

    def _rule(self, at_ms: int) -> None:
        if self._hall is not None:
            self._add(at_ms, self._hall.change())

    def _come_and_go(self, at_ms: int) -> None:
        going = self._online.draw(self._random)
        self._online.discard(going)
        self._add(at_ms, Go(going))
        drawn = (self._random.choice(self._users) for _ in range(_TRIES))
        coming = next((user for user in drawn if user not in self._online and user != going), None)
        if coming is not None:
            self._online.add(coming)
            self._add(at_ms, Come(coming, self._link()))

    def _change(self, at_ms: int) -> None:
        group = TEAM if self._random.random() < 1 / 4 else self._random.choice(self._small)
        members = self._members[group]
        users = [self._random.choice(self._users) for _ in range(self._random.randint(1, _LOT))]
        joining = tuple(sorted({user for user in users if user not in members}))
        if joining:
            for user in joining:
                members.add(user)
            self._add(at_ms, Join(group, joining))
        if not joining or self._random.random() < 1 / 2:
            leaving = tuple(sorted({members.draw(self._random) for _ in range(self._random.randint(1, _LOT))}))
            if len(members) > len(leaving):
                for user in leaving:
                    members.discard(user)
                self._add(at_ms + 1, Part(group, leaving))

    def _someone_online(self, group: str) -> str | None:
        for _ in range(_TRIES):
            user = self._members[group].draw(self._random)
            if user in self._online:
                return user
        return None

    def _faults(self) -> None:
        length_ms = self._size.seconds * 1_000
        self._add(int(length_ms * _KILL_AT), KillWorker())
        silent_ms = int(length_ms * _SILENCE_AT)
        self._add(silent_ms, SilenceLink(DOOMED))
        back_ms = min(silent_ms + int(self._size.silence_s * 1_000), length_ms - _STEP_MS)
        self._add(back_ms, RestartLink(DOOMED))
