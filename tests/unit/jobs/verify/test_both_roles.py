"""What the cores of both roles make of sessions that ask, turn away, go on elsewhere and are replaced is found good."""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from jobs.verify.judge import judge
from tests.model.wired import APP, Wired
from topics import catalog
from topics.messages import Send, Signal
from topics.policy import Policy
from topics.relations import CreateChannel, CreateGroup, UpdateChannel
from topics.sessions import Ground, Lost, Resume, Subscribe, Up, Watch
from topics.subscriptions import Subscription
from topics.wire import LinkAddress, SessionId

_STEP_MS: Final = 500
_CALM_MS: Final = 25_000
_BURST: Final = 300


class Town(Wired):
    """A team, a pair that is driven by notices, and a server that is too large to be heard unasked."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self._sent = 0
        self.policy(Policy(subscribe_members=3, drive_direct="session"))
        self.settle()
        self.east, self.west = self.register("east", 0), self.register("west", 1)
        four = ["ann", "bob", "cid", "dan"]
        for command in (
            CreateGroup(APP, "team", kind="team", members=four),
            CreateGroup(APP, "pair", kind="direct", members=four[:2]),
            CreateGroup(APP, "town", kind="server", members=four, owner="ann"),
            CreateChannel(APP, "town", "square", visitor_mode="visible"),
        ):
            self.of_group(catalog.RELATIONS, command)
        self.settle()
        for slot, user in enumerate([*four, "eve"]):
            self.begins(user, self.west if slot % 2 else self.east, slot)
        self.settle()

    def begins(self, user: str, link: LinkAddress, slot: int) -> None:
        self.of_user(Up(APP, user, "phone", link.link, link.epoch, link.partition, slot))

    def says(self, group: str, user: str, channel: str = "main", mentions: tuple[str, ...] = ()) -> None:
        self._sent += 1
        body = Raw(b'"hi"')
        send = Send(APP, group, user, "phone", f"c{self._sent}", self.now_ms, body, channel, mentions=mentions)
        self.of_group(catalog.MESSAGES, send)

    def asks(self, user: str, link: LinkAddress, slot: int, *what: Subscription) -> None:
        self.of_user(Subscribe(APP, user, link.link, link.epoch, slot, list(what)))

    def wait(self) -> None:
        for _ in range(_CALM_MS // _STEP_MS):
            self.now_ms += _STEP_MS
            self.settle()

    def talk(self) -> None:
        for group, channel in (("team", "main"), ("pair", "main"), ("town", "square")):
            self.says(group, "ann", channel, ("bob", "cid"))
            self.says(group, "bob", channel)
        self.of_group(catalog.MESSAGES, Signal(APP, "town", "ann", Raw(b"1"), "square", "typing"))
        self.settle()
        self.wait()


def test_a_run_of_both_roles_has_no_fault() -> None:
    made = Town()
    east, west = made.east, made.west
    made.talk()
    square = [Subscription("town", level, "square") for level in ("messages", "typing")]
    made.asks("ann", east, 0, *square, Subscription("pair", "messages", "main"))
    made.asks("bob", west, 1, Subscription("town", "unread_count", "square"), Subscription("town", "server"))
    made.asks("cid", east, 2, Subscription("town", "unread_status", "square"))
    made.asks("eve", east, 4, square[0])
    made.of_user(Ground(APP, "cid", "east", east.epoch, 2, background=True))
    made.settle()
    made.talk()
    made.of_user(Ground(APP, "cid", "east", east.epoch, 2, background=False))
    made.of_user(Watch(APP, "dan", "west", west.epoch, 3, ["ann", "bob", "nobody"]))
    made.of_user(Lost(APP, "ann", "east", east.epoch, 0))
    was = SessionId("east", east.epoch, 0)
    made.of_user(Resume(APP, "ann", "phone", "west", west.epoch, west.partition, 9, was))
    made.begins("bob", east, 20)
    made.settle()
    made.talk()
    made.policy(Policy(subscribe_members=10, drive_direct="session"))
    made.talk()
    made.of_group(catalog.RELATIONS, UpdateChannel(APP, "town", "square", view_mode="private", visitor_mode="hidden"))
    made.talk()
    for at in range(_BURST):
        made.says("team", "bob")
        if at % 20 == 0:
            made.settle()
    made.settle()
    made.wait()
    report = judge(made.world(), settled=True)
    assert report.rules == {}, report.examples
    assert any(b'"mode":"burst"' in (row.value or b"") for row in made.world().topics[catalog.DELIVERIES.name])
    assert report.to_notice is not None


def test_a_resume_taken_before_the_death_of_its_link_tells_a_connection_that_is_gone() -> None:
    made = Town()
    east, west = made.east, made.west
    made.void(east)
    was = SessionId("east", east.epoch, 0)
    made.of_user(Resume(APP, "ann", "phone", "west", west.epoch, west.partition, 9, was))
    users = [lane for lane in made.lanes if lane.role == "users"]
    for lane in users:
        lane.held.add(catalog.LINK_VOIDS.name)
        made.work(lane, 1_000)
    made.settle()
    made.wait()
    assert any(b'"t":"ended"' in (row.value or b"") for row in made.world().topics[catalog.DELIVERIES.name])
    report = judge(made.world(), settled=True)
    assert report.rules == {}, report.examples
