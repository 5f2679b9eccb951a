"""All of it: services, three workers, two gateways as processes, and people at their browsers."""

from __future__ import annotations

import asyncio
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import expect

from jobs.services.process import Process
from jobs.stack import Stack
from jobs.verify.judge import judge
from jobs.verify_command import read_run
from streams.settings import Settings
from tests.browser.driver import Tab, browser
from tests.services import forget_stored, free_ports, own_settings

_READY_S = 240.0


@dataclass
class Whole:
    """What runs.

    Attributes:
        settings: where the services are.
        gateways: where people go.
        viewer: the worker that answers the gateways' pulls; it owns no group.
        stack: all processes.
    """

    settings: Settings
    gateways: tuple[str, str]
    viewer: Process
    stack: Stack


@pytest.fixture
def whole(fresh_topics: Settings, tmp_path: Path) -> Iterator[Whole]:
    settings = own_settings(fresh_topics, tmp_path)
    stack = Stack(settings)
    groups, users, first, second = free_ports(4)
    try:
        viewer = stack.start_worker("sinks", "sinks", settings.view_port)  # where gateways pull
        stack.start_worker("groups", "groups", groups)
        stack.start_worker("users", "users", users)
        for port in (settings.view_port, groups, users):
            _await(f"http://{settings.host}:{port}/ready", stack)
        stack.start_gateway("L1", first, [second])
        stack.start_gateway("L2", second, [first])
        gateways = f"http://{settings.host}:{first}", f"http://{settings.host}:{second}"
        for address in gateways:
            _await(f"{address}/health", stack)
        yield Whole(settings, gateways, viewer, stack)
    finally:
        for process in stack.running().values():
            process.signal(signal.SIGCONT)
        stack.stop()
        forget_stored(settings)


def _await(url: str, stack: Stack) -> None:
    """Wait until this answers with 200."""
    deadline_s = time.monotonic() + _READY_S
    while not _answers(url):
        words = "\n".join(f"--- {name}\n{stack.last_words(name)}" for name in stack.running())
        assert time.monotonic() < deadline_s, f"{url} is not there\n{words}"
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (OSError, urllib.error.URLError):
        return False


async def test_two_people_on_two_links_make_a_group_chat_lose_a_message_find_it_and_part(whole: Whole) -> None:
    async with browser() as chromium:
        ann = await Tab.open(chromium, whole.gateways[0], "ann")
        bob = await Tab.open(chromium, whole.gateways[1], "bob")
        for tab, link in ((ann, "L1"), (bob, "L2")):
            await expect(tab.page.locator("#link-name")).to_have_text(link)
        await ann.create("others", "bob")
        await ann.create("friends")
        await bob.join("friends")
        for tab in (ann, bob):
            online = tab.page.locator("#people-title")
            await expect(online).to_have_text("Online \N{MIDDLE DOT} 2 of 2", timeout=30_000)
            assert await tab.people() == {"ann": "L1", "bob": "L2"}

        await ann.say("hello")
        await bob.sees(1, "hello", "ann")
        await bob.say("hello yourself")
        for tab in (ann, bob):
            await tab.sees(2, "hello yourself", "bob")

        whole.viewer.signal(signal.SIGSTOP)  # so that one can see the gap: no pull is answered
        await bob.lose()
        await ann.say("lost on its way")
        await ann.sees(3, "lost on its way", "ann")
        await ann.say("are you there?")
        for tab in (ann, bob):
            await tab.sees(4, "are you there?", "ann")
        await expect(bob.gaps).to_have_text(["#3 is missing: pulling"])
        whole.viewer.signal(signal.SIGCONT)
        await bob.sees(3, "lost on its way", "ann")
        await expect(bob.gaps).to_have_count(0)
        await expect(bob.message(3).locator(".tag")).to_have_text("filled")
        await expect(bob.filled).to_have_count(1)
        assert await bob.seqs() == await ann.seqs() == [1, 2, 3, 4]

        await bob.page.get_by_role("button", name="Leave").click()
        await expect(bob.page.locator("#group-state")).to_have_text("left", timeout=30_000)
        online = ann.page.locator("#people-title")
        await expect(online).to_have_text("Online \N{MIDDLE DOT} 1 of 1", timeout=30_000)
        await ann.say("alone at last")
        await ann.sees(5, "alone at last", "ann")
        elsewhere = await Tab.open(chromium, whole.gateways[0], "bob")
        await elsewhere.live("others")
        await expect(elsewhere.page.locator("button.group")).to_have_count(1)
        assert await bob.seqs() == [1, 2, 3, 4]
        assert (ann.errors, bob.errors, elsewhere.errors) == ([], [], [])

    report = await asyncio.to_thread(judge, await read_run(whole.settings), settled=False)
    assert report.good, report.examples
    assert report.accepted == 5
    for name in ("groups", "users", "sinks"):
        said = whole.stack.log(name).read_text()
        assert "NotEnoughReplicas" not in said, said  # it is how a broker says: a moment; no reader of logs needs that


async def test_a_role_opens_a_private_channel_live_and_closes_it_when_it_is_taken(whole: Whole) -> None:
    async with browser() as chromium:
        ann = await Tab.open(chromium, whole.gateways[0], "ann")
        bob = await Tab.open(chromium, whole.gateways[1], "bob")
        await ann.create_server("acme", "bob")
        await bob.accept("ann invites you to acme")
        await bob.channel("acme", "general")
        await ann.manage("acme", "role-form", "Create role", role="crew")
        await expect(ann.role("crew")).to_have_text("nobody")
        await ann.manage("acme", "channel-form", "Create channel", channel="ops", mode="private", role="crew")
        await expect(ann.channels).to_have_text(["general", "ops"])
        await ann.close_dialog()
        await ann.channel("acme", "ops")
        await ann.say("only the crew reads this")
        await ann.sees(1, "only the crew reads this", "ann")
        await expect(ann.page.locator("#people-title")).to_have_text("Sees this channel \N{MIDDLE DOT} 1")
        await expect(bob.channels).to_have_text(["general"])

        await ann.manage("acme", "member-form", "Give", role="crew", user="bob")
        await ann.close_dialog()
        await expect(bob.channels).to_have_text(["general", "ops"])
        await expect(bob.toast).to_have_text("ann gave you the role crew in acme")
        await expect(ann.page.locator(".person-name")).to_have_text(["annyou", "bob"])
        await bob.channel("acme", "ops")
        await bob.sees(1, "only the crew reads this", "ann")
        await ann.say("welcome, bob")
        await bob.sees(2, "welcome, bob", "ann")
        await bob.say("glad to be in")
        await ann.sees(3, "glad to be in", "bob")
        await expect(bob.page.locator("#why")).to_have_text("of your role crew")

        await ann.manage("acme", "member-form", "Take", role="crew", user="bob")
        await ann.close_dialog()
        await expect(bob.channels).to_have_text(["general"])
        await expect(bob.page.locator("#people-note")).to_have_text("You do not see this channel any more.")
        await expect(ann.page.locator(".person-name")).to_have_text(["annyou"])
        await ann.say("alone again")
        await ann.sees(4, "alone again", "ann")
        await bob.channel("acme", "general")
        await bob.say("what did I miss?")
        await bob.sees(1, "what did I miss?", "bob")
        assert (ann.errors, bob.errors) == ([], [])

    report = await asyncio.to_thread(judge, await read_run(whole.settings), settled=False)
    assert report.good, report.examples
    assert report.accepted == 5
