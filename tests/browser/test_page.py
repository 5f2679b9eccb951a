"""The example page, in a browser, as people use it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.driver import DESKTOP, PHONE, Tab, browser
from tests.browser.hub import Hub, Team, gateways

#: The texts in sight whose contrast to what is beneath them is lower than 4.5 : 1, which WCAG AA asks for.
FAINT = """() => {
  const parse = (colour) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d");
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour[3] === 255) return colour;
    }
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = Array.from(element.childNodes, (n) => n.nodeType === 3 ? n.data.trim() : "").join("");
    if (!text || !element.checkVisibility() || element.closest(".unseen, .skip, :disabled, [inert]")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) faint.push(`${element.id || element.className}: ${text} ${contrast.toFixed(1)}`);
  }
  return faint;
}"""

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
    hub.teams["friends"] = Team({"ann": None, "bob": None}, version=1)
    ann, bob = await asyncio.gather(Tab.open(chromium, addresses[0], "ann"), Tab.open(chromium, addresses[1], "bob"))
    for tab in (ann, bob):
        await tab.live("friends")
    yield ann, bob
    assert (ann.errors, bob.errors) == ([], [])


async def test_two_tabs_on_two_links_chat_and_see_seqs_and_senders(pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    for tab, link in ((ann, "L1"), (bob, "L2")):
        await expect(tab.page.locator("#link-name")).to_have_text(link)
        await expect(tab.page.locator("#link-epoch")).to_have_text("41")
    await ann.say("hello")
    await bob.sees(1, "hello", "ann")
    await bob.say("hello yourself")
    for tab in pair:
        await tab.sees(2, "hello yourself", "bob")
        assert await tab.seqs() == [1, 2]
        await expect(tab.pending).to_have_count(0)


async def test_what_people_write_is_shown_as_text_and_never_run(pair: tuple[Tab, Tab]) -> None:
    ann, _ = pair
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script> &amp; <b>bold</b>'
    await ann.say(evil)
    for tab in pair:
        await tab.sees(1, evil, "ann")
        await expect(tab.page.locator(".body").locator("img, script, b")).to_have_count(0)
        await expect(tab.page).to_have_title(f"{tab.name} · Linkcast")


async def test_other_gateways_are_named(pair: tuple[Tab, Tab], addresses: tuple[str, str]) -> None:
    links = pair[0].page.locator("#gateways a")
    await expect(links).to_have_text([addresses[1].removeprefix("http://")])
    await expect(links).to_have_attribute("href", addresses[1])


async def test_lost_messages_show_as_a_gap_and_a_pull_fills_it_in_order(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    await ann.say("one")
    await bob.sees(1, "one", "ann")
    hub.pulls.clear()
    await bob.lose(3)
    for text in ("two", "three", "four", "five"):
        await ann.say(text)
    await bob.sees(5, "five", "ann")
    await expect(bob.gaps).to_have_text(["#2 to #4 are missing: pulling"])
    assert await bob.seqs() == [1, 5]
    hub.pulls.set()
    await bob.sees(3, "three", "ann")
    await expect(bob.gaps).to_have_count(0)
    assert await bob.seqs() == [1, 2, 3, 4, 5]
    await expect(bob.filled).to_have_count(3)
    await expect(bob.message(5).locator(".tag")).to_have_count(0)
    await expect(bob.page.locator("#link-gaps")).to_have_text("3 messages")


async def test_a_lost_last_message_is_noticed_when_the_head_is_announced(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    await bob.lose()
    await ann.say("the last word")
    await ann.sees(1, "the last word", "ann")
    await expect(bob.message(1)).to_have_count(0)
    hub.announce("friends")
    await bob.sees(1, "the last word", "ann")
    await expect(bob.filled).to_have_count(1)


async def test_a_pull_that_fails_is_tried_again(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    hub.failing = 2
    await bob.lose()
    await ann.say("one")
    await ann.say("two")
    await bob.sees(1, "one", "ann")
    assert await bob.seqs() == [1, 2]


async def test_while_a_pull_waits_the_page_sends_and_hears(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    hub.pulls.clear()
    await bob.lose()
    await ann.say("lost")
    await ann.say("seen")
    await expect(bob.gaps).to_have_count(1)
    await bob.say("never mind")
    for tab in pair:
        await tab.sees(3, "never mind", "bob")
    hub.pulls.set()
    await bob.sees(1, "lost", "ann")


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
    await ann.lose()
    await ann.say("where am I?")
    await expect(ann.pending).to_contain_text(["accepted as #1"])
    hub.pulls.set()
    hub.announce("friends")
    await ann.sees(1, "where am I?", "ann")
    await expect(ann.pending).to_have_count(0)


async def test_a_refused_message_tells_why_and_may_be_sent_again_or_discarded(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    hub.refusing = "clock_ahead"
    await ann.say("too early")
    await expect(ann.pending).to_contain_text(["Not sent. This device's clock is wrong. Set it, then send again."])
    await ann.pending.get_by_role("button", name="Send again").click()
    await bob.sees(1, "too early", "ann")
    await expect(ann.pending).to_have_count(0)
    await ann.say("x" * 20_000)
    await expect(ann.pending).to_contain_text(["This message is too long. Make it shorter. (At most 16,384 bytes.)"])
    await ann.pending.get_by_role("button", name="Discard").click()
    await expect(ann.pending).to_have_count(0)
    assert len(hub.teams["friends"].messages) == 1


async def test_after_a_void_the_page_comes_back_by_itself_and_misses_nothing(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    await ann.say("one")
    await bob.sees(1, "one", "ann")
    hub.links[1].void()
    await ann.say("two")
    await expect(bob.page.locator("#link-epoch")).to_have_text("42")
    await bob.sees(2, "two", "ann")
    assert await bob.seqs() == [1, 2]


async def test_a_reload_keeps_who_one_is_the_open_group_and_its_history(pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    await ann.say("before")
    await bob.sees(1, "before", "ann")
    await bob.create("others")
    await bob.live("friends")
    await bob.page.reload()
    await bob.connected()
    await bob.sees(1, "before", "ann")
    await expect(bob.page.locator("#chat-title")).to_have_text("friends")
    await expect(bob.page.locator("#me")).to_have_text("bob")
    await bob.say("after")
    await ann.sees(2, "after", "bob")


async def test_a_long_history_comes_page_by_page_as_one_scrolls_and_the_page_stays_small(
    hub: Hub, chromium: Browser, addresses: tuple[str, str]
) -> None:
    hub.teams["long"] = Team({"eve": None})
    for seq in range(1, 1_001):
        hub.write("long", "ann" if seq % 7 else "bob", f'"message {seq}"'.encode())
    eve = await Tab.open(chromium, addresses[0], "eve")
    await eve.sees(1_000, "message 1000", "ann")
    assert await eve.seqs() == list(range(951, 1_001))
    await expect(eve.filled).to_have_count(0)
    seen: set[int] = set()
    await eve.page.locator("#scroll").hover()
    while 1 not in seen:
        await eve.page.mouse.wheel(0, -1_500)
        await eve.page.evaluate("new Promise(requestAnimationFrame)")
        shown = await eve.seqs()
        assert shown == list(range(shown[0], shown[-1] + 1))
        assert len(shown) <= 220
        seen.update(shown)
    assert seen == set(range(1, 1_001))
    await expect(eve.page.locator("#top")).to_have_text("This is where it begins.")
    hub.push("long", hub.write("long", "ann", b'"news"'))
    await eve.page.get_by_role("button", name="1 new message").click()
    await eve.sees(1_001, "news", "ann")
    await expect(eve.message(1_001)).to_be_in_viewport()


async def test_in_a_burst_the_page_goes_on_answering_and_misses_nothing(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    for seq in range(1, 2_001):
        hub.push("friends", hub.write("friends", "ann", f'"message {seq} of a burst"'.encode()))
        if seq % 100 == 0:
            await asyncio.sleep(0)
    await bob.page.get_by_label("Message", exact=True).fill("still here")
    await bob.sees(2_000, "message 2000 of a burst", "ann")
    assert await bob.seqs() == list(range(2_001 - 160, 2_001))
    await bob.say("still here")
    await ann.sees(2_001, "still here", "bob")
    await expect(bob.filled).to_have_count(0)
    assert await bob.page.evaluate("document.querySelectorAll('*').length") < 3_000


async def test_rates_move_and_the_time_from_send_to_seen_is_told(pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    await expect(ann.page.locator("#rate-in")).to_have_text("0/s")
    await expect(ann.page.locator("#latency")).to_have_text("\N{EN DASH}")

    async def goes_on_sending() -> None:
        while True:
            await ann.page.get_by_role("button", name="Send 100").click()
            await asyncio.sleep(2)

    sending = asyncio.create_task(goes_on_sending())
    try:
        for tab in pair:
            await expect(tab.page.locator("#rate-in")).not_to_have_text("0/s")
            await expect(tab.page.locator("#rate-out")).not_to_have_text("0/s")
            await expect(tab.page.locator("#spark-in .line")).to_have_attribute("d", re.compile("L.*L"))
    finally:
        sending.cancel()
        await asyncio.wait([sending])
    await expect(ann.page.locator("#latency")).to_have_text(re.compile(r"\d+ ms"))
    await expect(bob.page.locator("#latency")).to_have_text("\N{EN DASH}")
    await expect(ann.pending).to_have_count(0)


async def test_who_is_online_on_which_link_follows_tabs_that_come_and_go(
    pair: tuple[Tab, Tab], chromium: Browser, addresses: tuple[str, str]
) -> None:
    ann, bob = pair
    title, header = ann.page.locator("#people-title"), ann.page.locator("#group-state")
    await expect(title).to_have_text("Online · 2 of 2")
    await expect(header).to_have_text("2 members · 2 online on 2 links")
    assert await ann.people() == {"ann": "L1", "bob": "L2"}
    again = await Tab.open(chromium, addresses[1], "bob")
    await expect(ann.page.locator(".person[data-user=bob] .person-links")).to_have_text("L2 \N{MULTIPLICATION SIGN}2")
    await again.page.close()
    await bob.page.close()
    await expect(title).to_have_text("Online · 1 of 2")
    await expect(header).to_have_text("2 members · 1 online on 1 link")
    assert await ann.people() == {"ann": "L1", "bob": "offline"}


async def test_whoever_is_invited_has_the_group_at_once_and_sees_what_is_new_in_it(
    pair: tuple[Tab, Tab], chromium: Browser, addresses: tuple[str, str]
) -> None:
    ann, bob = pair
    await ann.create("plans", "bob")
    await ann.say("one")
    await ann.say("two")
    plans = bob.group("plans")
    await expect(plans.locator(".badge")).to_have_text("2")
    await expect(plans.locator(".group-note")).to_have_text("ann: two")
    await expect(bob.page).to_have_title("(2) bob · Linkcast")
    await plans.click()
    await bob.sees(2, "two", "ann")
    await expect(plans.locator(".badge")).to_be_hidden()
    await ann.page.get_by_role("button", name="Invite", exact=True).click()
    await ann.page.get_by_label("Names, by spaces", exact=True).fill("cid, dora")
    await ann.page.locator("#asking").get_by_role("button", name="Invite").click()
    await expect(ann.page.locator("#people-title")).to_have_text("Online · 2 of 4")
    dora = await Tab.open(chromium, addresses[0], "dora")
    await dora.live("plans")
    await dora.sees(1, "one", "ann")


async def test_each_group_shows_its_own_messages_and_people(pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    await ann.say("for friends")
    await bob.sees(1, "for friends", "ann")
    await bob.create("others")
    await bob.say("for others")
    await bob.sees(1, "for others", "bob")
    await expect(bob.page.locator("#people-title")).to_have_text("Online \N{MIDDLE DOT} 1 of 1")
    await bob.live("friends")
    await bob.sees(1, "for friends", "ann")
    await expect(bob.page.locator("#people-title")).to_have_text("Online \N{MIDDLE DOT} 2 of 2")
    await bob.live("others")
    await bob.sees(1, "for others", "bob")
    assert await ann.seqs() == [1]


async def test_a_direct_chat_is_one_whoever_begins_it(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    await ann.direct("bob")
    await ann.say("just us")
    await expect(bob.group("dm.3.ann.bob").locator(".group-name")).to_have_text("ann")
    await bob.direct("ann")
    await bob.sees(1, "just us", "ann")
    await expect(bob.page.get_by_role("button", name="Leave")).to_be_hidden()
    assert list(hub.teams) == ["friends", "dm.3.ann.bob"]


async def test_one_sees_who_is_typing(pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    field = ann.page.get_by_label("Message", exact=True)

    async def goes_on_typing() -> None:
        while True:
            await field.press_sequentially("hm ")

    typing = asyncio.create_task(goes_on_typing())
    await expect(bob.page.locator("#typing")).to_have_text("ann is typing…")
    typing.cancel()
    await asyncio.wait([typing])
    await ann.say("wait, I am")
    await bob.sees(1, "wait, I am", "ann")
    await expect(bob.page.locator("#typing")).to_have_text("")


async def test_in_the_background_a_page_gets_badges_and_pulls_what_it_missed_when_it_is_back(
    pair: tuple[Tab, Tab],
) -> None:
    ann, bob = pair
    await bob.page.locator("#away").click()
    await expect(ann.page.locator('.person[data-user="bob"] .dot')).to_have_attribute("data-state", "background")
    await ann.say("hello")
    await ann.say("where are you, @bob?")
    await expect(bob.toast).to_have_text("ann mentioned you in friends: where are you, @bob?")
    await expect(bob.group("friends").locator(".badge")).to_have_text("@ 2")
    await expect(bob.page.locator("#group-state")).to_contain_text("in the background")
    assert await bob.seqs() == []
    await bob.page.locator("#away").click()
    await bob.sees(2, "where are you, @bob?", "ann")
    await expect(bob.page.locator(".mentions-me")).to_have_count(1)
    await expect(bob.group("friends").locator(".badge")).to_be_hidden()
    await expect(ann.page.locator('.person[data-user="bob"] .dot')).to_have_attribute("data-state", "online")


async def test_a_line_that_breaks_for_a_moment_is_the_same_session_again_and_misses_nothing(
    pair: tuple[Tab, Tab],
) -> None:
    ann, bob = pair
    await bob.page.locator("#lose-line").click()
    await expect(bob.page.locator("#state")).to_contain_text("connecting again")
    await ann.say("while you were away")
    await bob.sees(1, "while you were away", "ann")
    await expect(bob.page.locator("#link-resumes")).to_have_text("once")
    await expect(bob.page.locator("#link-slot")).to_have_text("0")
    await ann.say("and now")
    await bob.sees(2, "and now", "ann")


async def test_where_nothing_is_heard_unasked_a_page_subscribes_what_it_shows(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    await bob.create("others", "ann")
    await ann.live("friends")
    for group in ("friends", "others"):
        hub.drive(group, "none")
    await expect(ann.page.locator("#link-asked")).to_have_text("3")  # messages and typing here, what is new there
    await bob.say("look here")
    await expect(ann.group("others").locator(".badge")).to_have_text("1")
    await bob.live("friends")
    await bob.say("hello")
    await ann.sees(1, "hello", "bob")
    await ann.live("others")
    await ann.sees(1, "look here", "bob")


async def test_a_status_is_seen_by_others_and_a_tab_ends_ones_other_tabs(
    chromium: Browser, addresses: tuple[str, str], pair: tuple[Tab, Tab]
) -> None:
    ann, bob = pair
    second = await Tab.open(chromium, addresses[0], "bob")
    await bob.page.locator("#my-status").click()
    await bob.page.locator("#status-text").fill("out for lunch")
    await bob.page.get_by_role("button", name="Set", exact=True).click()
    await expect(ann.page.locator('.person[data-user="bob"] .person-status')).to_have_text("out for lunch")
    await bob.page.locator("#my-status").click()
    await bob.page.get_by_role("button", name="End my other tabs").click()
    await expect(second.page.locator("#state")).to_have_text("You ended this tab from another one.")
    assert second.errors == []


async def test_who_leaves_hears_no_more(hub: Hub, pair: tuple[Tab, Tab]) -> None:
    ann, bob = pair
    await bob.page.get_by_role("button", name="Leave").click()
    await expect(bob.page.locator("#group-state")).to_have_text("left")
    await expect(bob.page.get_by_label("Message", exact=True)).to_be_disabled()
    await ann.say("alone")
    await ann.sees(1, "alone", "ann")
    assert await bob.seqs() == []
    assert list(hub.teams["friends"].members) == ["ann"]
    await bob.page.get_by_role("button", name="Join again").click()
    await bob.sees(1, "alone", "ann")
    await bob.say("back")
    await ann.sees(2, "back", "bob")


async def test_a_refusal_is_told_in_words(pair: tuple[Tab, Tab]) -> None:
    ann, _ = pair
    await ann.fill_new("Join", "nowhere")
    await expect(ann.toast).to_have_text("There is no such group. Create it first.")
    await expect(ann.group("nowhere")).to_have_count(0)


async def test_a_newcomer_is_asked_for_a_name_and_led_to_a_first_group(
    chromium: Browser, addresses: tuple[str, str]
) -> None:
    page = await chromium.new_page()
    await page.goto(addresses[0])
    await page.get_by_label("Your name").fill("ann")
    await page.get_by_role("button", name="Go in").click()
    ann = Tab(page, "ann")
    await ann.connected()
    await expect(page).to_have_url(f"{addresses[0]}/?user=ann")
    await expect(page.locator("#seconds a")).to_have_attribute("href", addresses[1])
    await page.get_by_label("Invite (names, by spaces)").first.fill("bob")
    await page.get_by_role("button", name="Create the group").click()
    await ann.live("friends")
    bob = await Tab.open(chromium, addresses[1], "bob")
    await ann.say("welcome")
    await bob.sees(1, "welcome", "ann")


async def test_all_of_it_can_be_done_with_the_keyboard_alone(pair: tuple[Tab, Tab]) -> None:
    ann, _ = pair
    keyboard = ann.page.keyboard
    await ann.page.get_by_role("button", name="New chat").focus()
    await keyboard.press("Enter")
    await keyboard.type("by-hand")
    await keyboard.press("Escape")
    await expect(ann.page.locator("#new")).to_be_hidden()
    await keyboard.press("Enter")
    await expect(ann.page.locator("#new-group")).to_be_focused()
    await keyboard.type("by-hand")
    await keyboard.press("Enter")
    await expect(ann.page.locator("#chat-title")).to_have_text("by-hand")
    await expect(ann.page.get_by_label("Message", exact=True)).to_be_focused()
    await expect(ann.group("by-hand")).to_have_attribute("data-state", "live")
    await keyboard.type("first line")
    await keyboard.press("Shift+Enter")
    await keyboard.type("second line")
    await keyboard.press("Enter")
    await ann.sees(1, "first line\nsecond line", "ann")


async def test_on_a_phone_the_groups_are_a_drawer(
    pair: tuple[Tab, Tab], chromium: Browser, addresses: tuple[str, str]
) -> None:
    ann, _ = pair
    await ann.create("others", "eve")
    eve = await Tab.open(chromium, addresses[0], "eve", PHONE)
    await eve.live("others")
    side = eve.page.locator("#side")
    await expect(side).not_to_be_in_viewport()
    await eve.show_groups()
    await expect(side).to_be_in_viewport()
    await expect(eve.page.locator("#chat")).to_have_js_property("inert", value=True)
    await eve.page.keyboard.press("Escape")
    await expect(side).not_to_be_in_viewport()
    await expect(eve.page.get_by_role("button", name="Groups", exact=True)).to_be_focused()
    await eve.join("friends")
    await expect(side).not_to_be_in_viewport()
    await eve.page.get_by_role("button", name="People and link").click()
    await expect(eve.page.locator("#people-title")).to_have_text("Online · 3 of 3")
    await eve.page.mouse.click(20, 400)
    await expect(eve.page.locator("#panel")).not_to_be_in_viewport()
    await ann.live("others")
    await ann.say("over here")
    await expect(eve.page.locator("#menu-badge")).to_have_text("1")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_nothing_is_cut_off_and_all_can_be_read_at_any_width_by_day_and_night(
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
    await cid.page.screenshot(path=tmp_path / "welcome.png")
    await cid.join("friends")
    await cid.say("A longer message, so that one sees how it wraps on a phone: " + "word " * 20)
    await cid.sees(2, "A longer message, so that one sees how it wraps on a phone: " + "word " * 20, "cid")
    hub.pulls.clear()
    await cid.lose()
    await ann.say("Did you get this?")
    await ann.say("x" * 200)
    await expect(cid.gaps).to_have_count(1)
    await cid.page.screenshot(path=tmp_path / "gap.png")
    assert await cid.page.evaluate(FAINT) == []
    hub.pulls.set()
    await expect(cid.message(3).locator(".tag")).to_have_count(1)
    await expect(cid.filled).to_have_count(1)
    await cid.page.screenshot(path=tmp_path / "filled.png")
    assert await cid.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert await cid.page.evaluate("document.getElementById('scroll').scrollWidth") <= size[0]
    for button in ("Send", "Leave", "Invite"):
        await expect(cid.page.get_by_role("button", name=button, exact=True)).to_be_in_viewport()
    assert cid.errors == []
