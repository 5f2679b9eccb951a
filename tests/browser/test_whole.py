"""Two people, two gateways, the pipeline between them as it runs."""

from __future__ import annotations

import asyncio
import signal

from playwright.async_api import expect

from jobs.verify.judge import judge
from jobs.verify_command import read_run
from tests.browser.conftest import Whole
from tests.browser.driver import Tab, browser


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
