"""A server at two browsers: what a role opens and closes, live, on the pipeline as it runs."""

from __future__ import annotations

import asyncio

from playwright.async_api import expect

from jobs.verify.judge import judge
from jobs.verify_command import read_run
from tests.browser.conftest import Whole
from tests.browser.driver import Tab, browser


async def test_what_roles_and_lists_open_and_close_comes_and_goes_live(whole: Whole) -> None:
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
        await expect(bob.toast).to_have_text("ann gave you the role crew in acme")
        await expect(bob.channels).to_have_text(["general", "ops"])
        await expect(ann.page.locator(".person-name")).to_have_text(["annyou", "bob"])
        await bob.channel("acme", "ops")
        await bob.sees(1, "only the crew reads this", "ann")
        await ann.say("welcome, bob")
        await bob.sees(2, "welcome, bob", "ann")
        await bob.say("glad to be in")
        await ann.sees(3, "glad to be in", "bob")
        await expect(bob.page.locator("#why")).to_have_text("of your role crew")

        await ann.manage("acme", "list-form", "Put on", channel="general", which="black", role="crew")
        await expect(bob.channels).to_have_text(["ops"])
        await ann.manage("acme", "list-form", "Take off", channel="general", which="black", role="crew")
        await expect(bob.channels).to_have_text(["general", "ops"])

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
        await ann.manage("acme", "kick-form", "Remove from the server", user="bob")
        await ann.close_dialog()
        await expect(bob.toast).to_have_text("You are not in acme any more")
        await expect(bob.channels).to_have_count(0)
        await expect(ann.page.locator("#people-title")).to_have_text("Sees this channel \N{MIDDLE DOT} 1")
        assert (ann.errors, bob.errors) == ([], [])

    report = await asyncio.to_thread(judge, await read_run(whole.settings), settled=False)
    assert report.good, report.examples
    assert report.accepted == 5
