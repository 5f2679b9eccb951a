"""The example page, in a browser, as people use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.driver import DESKTOP, PHONE, Tab, browser
from tests.browser.hub import Hub, gateways

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_browser() -> AsyncIterator[Browser]:
    async with browser() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def chromium(one_browser: Browser) -> AsyncIterator[Browser]:
    """The browser without tabs."""
    yield one_browser
    for context in one_browser.contexts:
        await context.close()


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest_asyncio.fixture(loop_scope="module")
async def addresses(hub: Hub) -> AsyncIterator[tuple[str, str]]:
    async with gateways(hub) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def pair(hub: Hub, chromium: Browser, addresses: tuple[str, str]) -> AsyncIterator[tuple[Tab, Tab]]:
    """Ann on L1 and Bob on L2, both in `friends`; neither page has reported an error at the end."""
    del hub
    ann = await Tab.open(chromium, addresses[0], "ann")
    bob = await Tab.open(chromium, addresses[1], "bob")
    await ann.create("friends")
    await bob.join("friends")
    yield ann, bob
    assert (ann.errors, bob.errors) == ([], [])


async def test_two_tabs_on_two_links_chat_and_see_seqs_and_senders(pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    assert (await ann.link()).startswith("link L1 · epoch 41")
    assert (await bob.link()).startswith("link L2")
    await ann.say("hello")
    await bob.sees(1, "hello", "ann")
    await bob.say("<b>hi</b>")
    for tab in pair:
        await tab.sees(2, "<b>hi</b>", "bob")
        assert await tab.seqs() == [1, 2]
        await expect(tab.pending).to_have_count(0)


async def test_both_gateways_are_named_and_this_one_is_marked(
    pair: tuple[Tab, Tab], addresses: tuple[str, str]
) -> None:
    links = pair[0].page.locator("#gateways a")
    await expect(links).to_have_text([address.removeprefix("http://") for address in addresses])
    await expect(links.first).to_have_attribute("aria-current", "page")
    await expect(links.last).to_have_attribute("href", addresses[1])


async def test_a_lost_message_shows_as_a_gap_and_a_pull_fills_it(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    await ann.say("one")
    await bob.sees(1, "one", "ann")
    hub.pulls.clear()
    await bob.drop_next()
    await ann.say("two")
    await ann.say("three")
    await bob.sees(3, "three", "ann")
    await expect(bob.gaps).to_have_text(["#2 is missing: pulling"])
    hub.pulls.set()
    await bob.sees(2, "two", "ann")
    await expect(bob.gaps).to_have_count(0)
    assert await bob.seqs() == [1, 2, 3]
    await expect(bob.message(2).locator(".tag")).to_have_text("pulled")
    await expect(bob.pulled).to_have_count(1)


async def test_a_lost_last_message_is_noticed_when_the_head_is_announced(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    await bob.drop_next()
    await ann.say("the last word")
    await ann.sees(1, "the last word", "ann")
    await expect(bob.message(1)).to_have_count(0)
    hub.announce("friends")
    await bob.sees(1, "the last word", "ann")
    await expect(bob.pulled).to_have_count(1)


async def test_a_pull_that_fails_is_tried_again(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    hub.failing = 2
    await bob.drop_next()
    await ann.say("one")
    await ann.say("two")
    await bob.sees(1, "one", "ann")
    assert await bob.seqs() == [1, 2]


async def test_an_unanswered_message_stays_pending_and_is_sent_again(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    hub.deaf = True
    await ann.say("anyone?")
    await expect(ann.pending).to_contain_text(["on its way"])
    hub.deaf = False
    await bob.sees(1, "anyone?", "ann")
    await expect(ann.pending).to_have_count(0)
    assert await ann.seqs() == [1]


async def test_an_accepted_message_not_delivered_yet_shows_its_seq(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, _ = pair
    hub.pulls.clear()
    await ann.drop_next()
    await ann.say("where am I?")
    await expect(ann.pending).to_contain_text(["accepted as #1"])
    hub.pulls.set()
    hub.announce("friends")
    await ann.sees(1, "where am I?", "ann")
    await expect(ann.pending).to_have_count(0)


async def test_after_a_void_the_page_comes_back_by_itself_and_misses_nothing(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    await ann.say("one")
    await bob.sees(1, "one", "ann")
    hub.links[1].void()
    await ann.say("two")
    await expect(bob.page.locator("#link")).to_contain_text("epoch 42")
    await bob.sees(2, "two", "ann")
    assert await bob.seqs() == [1, 2]


async def test_a_newcomer_sees_the_newest_and_may_ask_for_earlier_ones(
    hub: Hub, pair: tuple[Tab, Tab], chromium: Browser, addresses: tuple[str, str]
) -> None:
    ann, _ = pair
    session = next(iter(hub.links[0].sessions.values()))
    for seq in range(1, 121):
        hub.send(hub.links[0], session, "friends", f"c{seq}", f'"message {seq}"'.encode())
    await ann.sees(120, "message 120", "ann")
    eve = await Tab.open(chromium, addresses[0], "eve")
    await eve.join("friends")
    await eve.sees(71, "message 71", "ann")
    assert await eve.seqs() == list(range(71, 121))
    await expect(eve.pulled).to_have_count(0)
    await eve.page.get_by_role("button", name="Earlier messages").click()
    await eve.sees(21, "message 21", "ann")
    assert await eve.seqs() == list(range(21, 121))


async def test_who_leaves_hears_no_more(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    await bob.page.get_by_role("button", name="Leave").click()
    await expect(bob.page.locator("#group-state")).to_contain_text("left")
    await ann.say("are you there?")
    await ann.sees(1, "are you there?", "ann")
    assert await bob.seqs() == []
    assert hub.teams["friends"].members == {"ann"}


async def test_a_refusal_is_told_in_words(pair: tuple[Tab, Tab]) -> None:
    ann, _ = pair
    await ann.page.get_by_label("Group", exact=True).fill("nowhere")
    await ann.page.get_by_role("button", name="Join", exact=True).click()
    await expect(ann.page.get_by_role("alert")).to_have_text("There is no such group. Create it first.")
    await expect(ann.page.locator('button.group[data-group="nowhere"]')).to_have_count(0)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_nothing_is_cut_off_at_any_width(
    hub: Hub,
    pair: tuple[Tab, Tab],
    chromium: Browser,
    addresses: tuple[str, str],
    tmp_path: Path,
    size: tuple[int, int],
    *,
    dark: bool,
) -> None:
    ann, _ = pair
    await ann.say("Hello, and welcome to all of you.")
    cid = await Tab.open(chromium, addresses[1], "cid", size, dark=dark)
    await cid.page.screenshot(path=tmp_path / "groups.png")
    await cid.join("friends")
    await cid.say("A longer message, so that one sees how it wraps on a phone: " + "word " * 20)
    await cid.sees(2, "A longer message, so that one sees how it wraps on a phone: " + "word " * 20, "cid")
    hub.pulls.clear()
    await cid.drop_next()
    await ann.say("Did you get this?")
    await ann.say("x" * 200)
    await expect(cid.gaps).to_have_count(1)
    await cid.page.screenshot(path=tmp_path / "gap.png")
    hub.pulls.set()
    await expect(cid.pulled).to_have_count(1)
    await cid.page.screenshot(path=tmp_path / "filled.png")
    width = await cid.page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]
    for button in ("Send", "Leave"):
        await expect(cid.page.get_by_role("button", name=button, exact=True)).to_be_in_viewport()
    assert cid.errors == []
