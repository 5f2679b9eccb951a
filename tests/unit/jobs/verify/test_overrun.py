"""What ends while a link is overrun, of which it is told nothing, is no fault: in runs written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.verify.judge import judge
from jobs.verify.world import World
from tests.small_world import APP
from tests.unit.jobs.verify.stage import Stage
from topics import catalog
from topics.codec import encode
from topics.deliveries import Bound
from topics.events import MembersAdded, MembersRemoved
from topics.keys import key_of
from topics.relations import AddMembers, RemoveMembers
from topics.sessions import Down
from topics.wire import LinkAddress

QUIET_MS = 60_000
TEAM, SOLO = "team", "solo"


class _Run:
    """Ann writes from the west; bob, of the team, and dan, alone in his group on that link, listen in the east."""

    def __init__(self) -> None:
        self.stage = made = Stage()
        made.policy(resume_ms=10_000)
        self.east, self.west = made.register("east", 0), made.register("west", 1)
        made.group(TEAM, "team", ["ann", "bob"])
        made.group(SOLO, "team", ["ann", "dan"])
        for user, link, slot in (("bob", self.east, 1), ("dan", self.east, 2), ("ann", self.west, 0)):
            made.begin(user, link, slot)
        made.lot(self.east, made.bound(TEAM, {1: 1}), made.bound(SOLO, {2: 1}))
        made.lot(self.west, made.bound(TEAM, {0: 0}), made.bound(SOLO, {0: 0}))
        made.wait(QUIET_MS)
        for group in (TEAM, SOLO):
            self.says(group, self.east, self.west)
        made.wait(QUIET_MS)
        made.lot(self.east, overrun=True)

    def says(self, group: str, *links: LinkAddress, mentions: tuple[str, ...] = ()) -> None:
        message = self.stage.says(group, "ann", mentions=mentions)
        for link in links:
            self.stage.lot(link, message)

    def another_comes_in_the_west(self, slot: int = 5) -> None:
        made = self.stage
        made.begin("ann", self.west, slot)
        made.lot(self.west, made.bound(SOLO, {slot: 0}), made.bound(TEAM, {slot: 0}))

    def dan_goes(self) -> None:
        self.stage.asks(Down(APP, "dan", "east", self.east.epoch, 2))
        self.stage.unbound(SOLO, {2: 1})

    def anew(self, **solo: int) -> None:
        """The east is told all there is of the team, and of the other group if there is anything."""
        told = [Bound(APP, TEAM, self.stage.maps[TEAM], [1], [1], joined="messages")]
        if solo:
            told.append(Bound(APP, SOLO, self.stage.maps[SOLO], [solo["ordinal"]], [2], joined="messages"))
        self.stage.lot(self.east, *told, reset=True)

    def faults(self, world: World | None = None) -> dict[str, int]:
        self.stage.wait(QUIET_MS)
        return dict(judge(world or self.stage.world(), settled=True).rules)


@pytest.fixture
def run() -> _Run:
    return _Run()


@pytest.mark.parametrize("between", [False, True])
@pytest.mark.parametrize("later", [False, True])
def test_a_session_ends_and_nobody_of_its_group_is_left_on_the_link(run: _Run, *, between: bool, later: bool) -> None:
    if between:
        run.another_comes_in_the_west()
        run.stage.wait(1_000)
        run.says(SOLO, run.west)
        run.stage.wait(1_000)
    run.dan_goes()
    run.stage.wait(QUIET_MS)
    run.anew()
    if later:
        run.says(SOLO, run.west)
    assert run.faults() == {}


def test_a_member_leaves_and_joins_again(run: _Run) -> None:
    made = run.stage
    for command, event, ordinal in ((RemoveMembers, MembersRemoved, 1), (AddMembers, MembersAdded, 2)):
        made.of_group(catalog.RELATIONS, command(APP, SOLO, ["dan"]))
        made.versions[SOLO] += 1
        told = event(APP, SOLO, version=made.versions[SOLO], at=made.now_ms, users=["dan"], ordinals=[ordinal])
        made.append(catalog.RELATION_EVENTS, 0, encode(told), key_of(APP, SOLO))
        made.maps[SOLO] += 1
    made.wait(2_000)
    run.anew(ordinal=2)
    run.says(SOLO, run.east, run.west)
    assert "settled_missed" not in run.faults()


@pytest.mark.parametrize("late_ms", [-1, 0, 1])
def test_what_the_batch_dropped_that_began_anew(run: _Run, late_ms: int) -> None:
    made = run.stage
    made.wait(3_000)
    run.says(SOLO, run.west)
    run.anew(ordinal=1)
    made.wait(5_000)
    run.says(SOLO, run.east, run.west)
    made.wait(QUIET_MS)
    world = made.world()
    (reset_ms,) = (row.at_ms for row in world.topics["deliveries"] if b'"reset":true' in (row.value or b""))
    history = list(world.topics["history"])
    place = max(place for place, row in enumerate(history) if row.at_ms <= reset_ms)
    history[place] = history[place]._replace(at_ms=reset_ms + late_ms)
    assert run.faults(replace(world, topics={**world.topics, "history": history})) == {}


def test_a_session_that_is_mentioned_ended_and_the_link_is_overrun_twice(run: _Run) -> None:
    made = run.stage
    run.dan_goes()
    run.another_comes_in_the_west()
    made.begin("ann", run.east, 7)
    made.maps[SOLO] += 1
    made.maps[TEAM] += 1
    made.wait(1_000)
    run.says(SOLO, run.west, mentions=("dan",))
    made.wait(1_000)
    made.maps[SOLO] += 1
    for again in (False, True):
        if again:
            made.wait(500)
            made.lot(run.east, overrun=True)
            made.wait(500)
        team = Bound(APP, TEAM, made.maps[TEAM], [1, 0], [1, 7], joined="messages")
        made.lot(run.east, team, Bound(APP, SOLO, made.maps[SOLO], [0], [7], joined="messages"), reset=True)
    made.wait(500)
    run.says(SOLO, run.west, run.east)
    assert run.faults() == {}
