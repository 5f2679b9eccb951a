"""The demo's clients: who loses a connection comes back, what is not answered is sent again, from wherever one is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from jobs.demo.command import _Screen
from jobs.demo.crowd import AGAIN_S, Crowd, SimulatedLink
from jobs.demo.hall import HALL
from jobs.demo.play import Play
from jobs.demo.scenario import LINKS, TEAM, Come, Go, Join, Lose, Return, Say, SayAgain, Size, Turn, write
from linkcast_gateway import (
    Accepted,
    Applied,
    Group,
    Handler,
    NotRegisteredError,
    Place,
    Refused,
    Registration,
    Resumed,
    Session,
    Subscription,
)

HERE, THERE, AWAY = LINKS


class FakeLink(SimulatedLink):
    """Keeps what it is asked to write."""

    def __init__(self, link: str, handler: Handler) -> None:
        super().__init__(link, "nowhere", handler)
        self.handler = handler
        self.written: list[tuple[str, ...]] = []
        self.alive = False
        self.slot = 0

    async def start(self) -> None:
        self.alive = True
        self.handler.on_registered(Registration(1, 0, 8))

    async def registered(self) -> Registration:
        return Registration(1, 0, 8)

    async def stop(self) -> None:
        self.alive = False

    async def crash(self) -> None:
        self.alive = False
        self.handler.on_void()

    def new_session(self, app: str, user: str, device: str) -> Session:
        if not self.alive:
            raise NotRegisteredError
        self.slot += 1
        return Session(self.slot, app, user, device)

    def old_session(self, app: str, user: str, device: str, was: Place) -> Session:
        del was
        return self.new_session(app, user, device)

    def place_of(self, session: Session) -> Place:
        return Place(self.id, 1, session.slot)

    async def up(self, session: Session, platform: str = "", *, background: bool = False) -> None:
        del platform
        self.written.append(("up", session.user, *(["background"] if background else [])))

    async def resume(self, session: Session, was: Place, platform: str = "", *, background: bool = False) -> None:
        del platform
        self.written.append(("resume", session.user, was.link, str(was.slot), str(background)))

    async def lost(self, session: Session, hold_ms: int = 0) -> None:
        del hold_ms
        self.written.append(("lost", session.user))

    async def ground(self, session: Session, *, background: bool) -> None:
        self.written.append(("ground", session.user, str(background)))

    async def subscribe(
        self, session: Session, subscriptions: Sequence[Subscription], request: str | None = None
    ) -> None:
        del request
        self.written.append(("subscribe", session.user, *[f"{one.level}/{one.channel}" for one in subscriptions]))

    async def down(self, session: Session) -> None:
        self.written.append(("down", session.user))

    async def send(self, session: Session, group: str, client_id: str, tried_at: int, *_: Any, **__: Any) -> None:
        self.written.append(("send", session.user, group, client_id, str(tried_at)))

    async def add_members(self, session: Session, group: str, users: Sequence[str], request: str | None = None) -> None:
        self.written.append(("add", session.user, group, *users, str(request)))


@pytest.fixture
async def crowd() -> Crowd:
    made = Crowd("app", LINKS, FakeLink)
    await made.start()
    await made.come(Come("ann", AWAY))
    await made.come(Come("bob", AWAY))
    await made.come(Come("cat", HERE))
    return made


def written(crowd: Crowd, link: str, what: str) -> list[tuple[str, ...]]:
    fake = crowd.links[link]
    assert isinstance(fake, FakeLink)
    return [one for one in fake.written if one[0] == what]


async def test_a_send_waits_for_its_answer_and_is_sent_again_as_it_was(crowd: Crowd) -> None:
    await crowd.say(Say("cat", "g1", "m1"))
    await crowd.tend()
    assert len(written(crowd, HERE, "send")) == 1
    crowd.pending["m1"].tried_s -= AGAIN_S
    await crowd.tend()
    first, again = written(crowd, HERE, "send")
    assert first == again
    crowd.pending["m1"].tried_s -= AGAIN_S
    await crowd.tend()
    assert len(written(crowd, HERE, "send")) == 2, "ever more rarely"
    crowd.answered(Accepted("app", "g1", "main", "m1", 1, 5))
    assert not crowd.pending
    assert (crowd.counts.sent, crowd.counts.again, crowd.counts.accepted) == (1, 1, 1)


async def test_a_client_may_send_again_though_it_was_answered(crowd: Crowd) -> None:
    await crowd.say(Say("cat", "g1", "m1"))
    crowd.answered(Refused("not_a_member", client_id="m1"))
    await crowd.say_again(SayAgain("m1"))
    first, again = written(crowd, HERE, "send")
    assert first == again
    assert (crowd.counts.refused, crowd.counts.again) == (1, 1)


async def test_half_of_a_dead_links_users_go_elsewhere_and_the_rest_waits_for_it(crowd: Crowd) -> None:
    await crowd.silence(AWAY)
    assert crowd.online == 3, "one of two, cat and the admin"
    await crowd.say(Say("bob", "g1", "m1"))
    assert not written(crowd, AWAY, "send")
    await crowd.links[AWAY].start()
    crowd.pending["m1"].tried_s -= AGAIN_S
    await crowd.tend()
    assert crowd.online == 4
    assert [one[:4] for one in written(crowd, AWAY, "send")] == [("send", "bob", "g1", "m1")]
    assert [one[1] for one in written(crowd, AWAY, "resume")] == ["bob"], "each goes on as it was"


async def test_who_went_comes_back_for_the_answer_only_at_the_end(crowd: Crowd) -> None:
    await crowd.say(Say("ann", "g1", "m1"))
    await crowd.go(Go("ann"))
    crowd.pending["m1"].tried_s -= AGAIN_S
    await crowd.tend()
    assert len(written(crowd, AWAY, "send")) == 1
    await crowd.tend(everyone=True)
    assert written(crowd, HERE, "up")[-1] == ("up", "ann")
    assert written(crowd, HERE, "send")[-1][1:4] == ("ann", "g1", "m1")


async def test_a_lost_connection_is_resumed_on_the_ground_it_was_on(crowd: Crowd) -> None:
    await crowd.turn(Turn("cat", background=True))
    await crowd.lose(Lose("cat", AWAY))
    await crowd.tend()
    assert written(crowd, HERE, "lost") == [("lost", "cat")]
    assert not written(crowd, AWAY, "resume"), "not before it returns"
    await crowd.resume(Return("cat"))
    assert written(crowd, AWAY, "resume") == [("resume", "cat", HERE, "2", "True")]
    assert crowd.background == 1
    await crowd.go(Go("cat"))
    await crowd.come(Come("cat", HERE))
    assert written(crowd, HERE, "up")[-1] == ("up", "cat"), "who went begins anew"


async def test_a_session_subscribes_once_to_what_it_shows(crowd: Crowd) -> None:
    fake = crowd.links[HERE]
    assert isinstance(fake, FakeLink)
    fake.sessions[2] = Session(2, "app", "cat", "phone")
    for _ in range(2):
        fake.handler.on_live(Group("app", HALL), [2], [])
        await crowd.tend()
    ((_, user, *subscribed),) = written(crowd, HERE, "subscribe")
    assert user == "cat"
    assert "server/None" in subscribed
    fake.handler.on_resumed(Resumed(2, known=False, inbox=0))
    await crowd.tend()
    assert len(written(crowd, HERE, "subscribe")) == 2, "it began anew"


async def test_a_command_waits_for_its_answer(crowd: Crowd) -> None:
    await crowd.change(Join(TEAM, ("dan",)))
    ((*told, request),) = written(crowd, HERE, "add")
    assert told == ["add", "admin", TEAM, "dan"]
    assert list(crowd.commands) == [request]
    crowd.answered(Applied("app", TEAM, 2, 1, request))
    assert not crowd.commands


async def test_the_screen_tells_who_hears_the_team_and_what_broke(crowd: Crowd) -> None:
    fake = crowd.links[HERE]
    assert isinstance(fake, FakeLink)
    fake.handler.on_live(Group("app", TEAM), [1, 2], [])
    fake.handler.on_gone(Group("app", TEAM), [1])
    assert crowd.live() == 1
    scenario = write(1, Size(seconds=10, users=100, groups=2, rate=10))
    play = Play(scenario, None, crowd)  # type: ignore[arg-type]
    play.done.append("12.0 s  something broke")
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(_Screen(play, crowd, scenario).panel(1.0))
    text = console.export_text()
    assert "links register" in text
    assert "something broke" in text
    assert "sessions" in _Screen(play, crowd, scenario).line(1.0)
