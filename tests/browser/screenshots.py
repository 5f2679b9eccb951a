"""`python -m tests.browser.screenshots`: makes the pictures of the README anew, in docs/images.

The page is the real one, in a real browser; the pipeline behind it is the few lines of `hub`, so that a picture tells
the same story each time. The picture of a server needs a pipeline that runs, with nothing in it yet, and is made when
the addresses of its two gateways are given. The letters are those of this machine's fonts: with Inter (Debian:
fonts-inter) they look as they do now.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.async_api import Browser, Page, expect

from tests.browser.driver import PHONE, Tab, browser
from tests.browser.hub import Hub, Team, gateways

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"

_COLOURS: Final = 128
_MOST_BYTES: Final = 150_000
_CREW: Final = "launch-crew"
_FEED: Final = "deploy-feed"
_MEMBERS: Final = ("ann", "bob", "cid", "dora", "eve", "finn")
_TALK: Final = (
    ("bob", "Morning! The new link in Lisbon is up."),
    ("cid", "Saw it. 400 sessions came over when L1 restarted."),
    ("cid", "Nobody noticed."),
    ("ann", "Not even whoever was typing."),
    ("dora", "How many deliveries for last night's announcement?"),
    ("bob", "Two. One a link, for all 9,200 of us. @ann, you were right."),
    ("ann", "I lose three on purpose now. Watch the gap."),
)
_LOST: Final = (("cid", "This never reached ann's tab,"), ("dora", "nor this,"), ("bob", "nor this."))
_AFTER: Final = ("cid", "Still with us, ann?")
_BUSY: Final = (3, 5, 4, 9, 14, 11, 6, 8, 5, 3)  # messages of the feed, second by second


_SERVER: Final = "lisbon-launch"
_CHANNELS: Final = (("announcements", "public", ""), ("ops", "private", "crew"), ("press-room", "private", "press"))
_OPS: Final = (
    ("ann", "Doors at six. Only the crew reads this."),
    ("bob", "The second link is warm: 4,100 sessions."),
    ("dora", "Who gave me the role? I was in the lobby until a second ago."),
    ("ann", "I did. The channel came to you by itself."),
)


async def main() -> None:
    """Makes them."""
    if len(sys.argv) > 1:
        async with browser() as chromium:
            _save(await _seen((await _server(chromium, *sys.argv[1:])).page), IMAGES / "server.png")
        return
    async with browser() as chromium:
        for dark in (False, True):
            hub = Hub()
            async with gateways(hub) as (first, second):
                ann = await _story(chromium, hub, first, second, dark=dark)
                _save(await _seen(ann.page), IMAGES / ("page-dark.png" if dark else "page.png"))
                if dark:
                    hub.pulls.set()
                    await expect(ann.filled).to_have_count(len(_LOST))
                    dora = await Tab.open(chromium, second, "dora", PHONE)
                    await dora.live(_CREW)
                    await dora.sees(len(hub.teams[_CREW].messages), _AFTER[1], _AFTER[0])
                    _save(await _seen(dora.page), IMAGES / "page-phone.png")
            for context in chromium.contexts:
                await context.close()


async def _story(chromium: Browser, hub: Hub, first: str, second: str, *, dark: bool) -> Tab:
    """People on two links talk, and one of them loses messages that no pull brings back yet."""
    for group in (_FEED, _CREW, "dm.3.ann.bob"):
        hub.teams[group] = Team(dict.fromkeys(("ann", "bob") if group.startswith("dm.") else _MEMBERS), version=1)
    hub.statuses = {"bob": "on the Lisbon link", "dora": "out for lunch"}
    for user, address in (("bob", second), ("dora", second), ("cid", first), ("bob", first)):
        tab = await Tab.open(chromium, address, user)
        if user == "dora":
            await tab.page.locator("#away").click()
    ann = await Tab.open(chromium, first, "ann", dark=dark)
    await ann.live(_CREW)
    _push(hub, "dm.3.ann.bob", "bob", "Lunch at one?")
    for sender, text in _TALK:
        await (ann.say(text) if sender == "ann" else _later(hub, sender, text))
    await ann.sees(len(_TALK), _TALK[-1][1], _TALK[-1][0])
    for count in _BUSY:
        for _ in range(count):
            _push(hub, _FEED, "robot", f"build {1_200 + len(hub.teams[_FEED].messages)} is out")
        await asyncio.sleep(1)
    hub.pulls.clear()
    await ann.lose(len(_LOST))
    for sender, text in (*_LOST, _AFTER):
        _push(hub, _CREW, sender, text)
    await expect(ann.gaps).to_have_count(1)
    return ann


async def _server(chromium: Browser, first: str, second: str) -> Tab:
    """A server whose owner gives a role, and those who have it talk where nobody else reads."""
    ann = await Tab.open(chromium, first, "ann")
    people = {"ann": ann}
    for user, address in (("bob", second), ("cid", first), ("dora", second), ("eve", second)):
        people[user] = await Tab.open(chromium, address, user)
    await ann.create_server(_SERVER, "bob cid dora eve")
    for user in ("bob", "cid", "dora", "eve"):
        await people[user].accept(f"ann invites you to {_SERVER}")
        await people[user].channel(_SERVER, "general")
    for role in ("crew", "press"):
        await ann.manage(_SERVER, "role-form", "Create role", role=role)
        await expect(ann.role(role)).to_have_text("nobody")
    for channel, mode, role in _CHANNELS:
        await ann.manage(_SERVER, "channel-form", "Create channel", channel=channel, mode=mode, role=role)
        await expect(ann.group(f"{_SERVER}/{channel}")).to_have_count(1)
    for role, users in (("crew", ("bob", "dora")), ("press", ("cid",))):
        for user in users:
            await ann.manage(_SERVER, "member-form", "Give", role=role, user=user)
            await expect(ann.role(role)).to_contain_text(user)
    await ann.close_dialog()
    await ann.channel(_SERVER, "ops")
    for seq, (sender, text) in enumerate(_OPS, 1):
        await people[sender].channel(_SERVER, "ops")
        await people[sender].say(text)
        await ann.sees(seq, text, sender)
    await people["cid"].channel(_SERVER, "announcements")
    await people["cid"].say("Programme is out")
    await expect(ann.toast).to_be_hidden()
    return ann


async def _later(hub: Hub, sender: str, text: str) -> None:
    _push(hub, _CREW, sender, text)
    await asyncio.sleep(0.2)


def _push(hub: Hub, group: str, sender: str, text: str) -> None:
    message = hub.write(group, sender, json.dumps(text).encode())
    message.mentions = [user for user in _MEMBERS if f"@{user}" in text]
    hub.push(group, message)


async def _seen(page: Page) -> bytes:
    """What is on the screen, with nothing in focus."""
    await page.evaluate("document.activeElement.blur(); document.getElementById('panel').scrollTo(0, 0)")
    await page.mouse.move(0, 0)
    await asyncio.sleep(1.2)  # until the rates have been drawn once more
    return await page.screenshot()


def _save(png: bytes, path: Path) -> None:
    """As a PNG of few colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path}: {size:,} bytes")  # noqa: T201 - it is a command
    if size > _MOST_BYTES:
        raise SystemExit(f"{path} is larger than {_MOST_BYTES:,} bytes")


if __name__ == "__main__":
    asyncio.run(main())
