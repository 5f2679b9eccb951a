"""A browser for tests, and the example page as a person uses it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

from playwright.async_api import Browser, Locator, Page, async_playwright, expect

DESKTOP: Final = (1280, 800)
PHONE: Final = (390, 844)

_PATIENCE_MS: Final = 90_000  # a busy machine starts pages slowly
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
expect.set_options(timeout=_PATIENCE_MS // 3)

_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_INSTALL: Final = "apt-get install -o DPkg::Lock::Timeout=600 --yes --no-install-recommends chromium fonts-dejavu-core"


def chromium() -> Path:
    """The system's Chromium; installed if this may be done."""
    if (found := _find()) is not None:
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Chromium is missing: {_INSTALL} (a minute, once)", flush=True)  # noqa: T201 - pytest shows it on failure
        subprocess.run(["apt-get", "update", "--quiet"], check=False)
        subprocess.run(_INSTALL.split(), check=False, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})
    if (found := _find()) is None:
        raise RuntimeError(f"These tests need Chromium. Install it: {_INSTALL}, or whatever gives you `chromium`.")
    return found


def _find() -> Path | None:
    return next((Path(path) for name in _NAMES if (path := shutil.which(name))), None)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser without a window."""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium(), args=list(_FLAGS), headless=True)
        try:
            yield started
        finally:
            await started.close()


class Tab:
    """One tab of one person. What a page reports as an error is kept in `errors`."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.name = name
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)

    @classmethod
    async def open(
        cls, browser: Browser, address: str, name: str, size: tuple[int, int] = DESKTOP, *, dark: bool = False
    ) -> Self:
        """Open the page of a gateway as somebody."""
        context = await browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            has_touch=size == PHONE,
            locale="en-GB",
        )
        context.set_default_timeout(_PATIENCE_MS)
        tab = cls(await context.new_page(), name)
        await tab.page.goto(f"{address}/?user={name}")
        await tab.connected()
        return tab

    async def connected(self) -> None:
        """Wait until the page is connected."""
        await expect(self.page.locator("#state")).to_have_text("connected", timeout=30_000)

    async def create(self, group: str, people: str = "") -> None:
        """Create a group, invite people, and wait until it is live."""
        await self.fill_new("Create", group, people)
        await self.live(group)

    async def join(self, group: str) -> None:
        """Join a group and wait until it is live."""
        await self.fill_new("Join", group)
        await self.live(group)

    async def direct(self, other: str) -> None:
        """Begin a direct chat, or go on with it."""
        await self.fill_new("Direct", people=other)
        await expect(self.page.locator("#chat-title")).to_have_text(other)

    async def create_server(self, server: str, people: str = "") -> None:
        """Create a server, invite people, and wait until its first channel is open."""
        await self.fill_new("Server", server, people)
        await self.channel(server, "general")

    async def channel(self, server: str, channel: str) -> None:
        """Wait until this page sees a channel, and open it."""
        key = f"{server}/{channel}"
        await expect(self.group(key)).to_have_attribute("data-state", "live", timeout=30_000)
        if await self.page.locator("#chat-title").inner_text() != f"# {channel}":
            await self.show_groups()
            await self.group(key).click()
        await expect(self.page.locator("#chat-title")).to_have_text(f"# {channel}")

    async def manage(self, server: str, form: str, button: str, **fields: str) -> None:
        """Fill a form of a server's dialog, and press its button."""
        dialog = self.page.locator("#manage")
        if not await dialog.is_visible():
            await self.show_groups()
            await self.page.get_by_role("button", name=f"Channels and roles of {server}").click()
        place = dialog.locator(f"#{form}")
        for name, value in fields.items():
            field = place.locator(f"[name={name}]")
            if await field.evaluate("(element) => element.tagName") == "SELECT":
                await field.select_option(value)
            else:
                await field.fill(value)
        await place.get_by_role("button", name=button, exact=True).click()

    async def close_dialog(self) -> None:
        """Close the dialog that is open."""
        await self.page.keyboard.press("Escape")

    async def accept(self, invite: str) -> None:
        """Wait for an invite in the inbox, and accept it."""
        await expect(self.page.locator("#bell-badge")).to_be_visible()
        await self.page.get_by_role("button", name="Notices").click()
        notice = self.page.locator(".notice", has_text=invite)
        await notice.get_by_role("button", name="Join").click()
        await self.close_dialog()

    def role(self, role: str) -> Locator:
        """Who holds a role, as the open server tells it."""
        return self.page.locator(f'.role-row[data-role="{role}"] .role-members')

    @property
    def channels(self) -> Locator:
        """The channels of servers in the list."""
        return self.page.locator("button.channel .group-name")

    async def fill_new(self, what: str, group: str = "", people: str = "") -> None:
        """Fill the dialog for something new, and let it be done."""
        await self.show_groups()
        await self.page.get_by_role("button", name="New chat").click()
        dialog = self.page.locator("#new")
        await dialog.locator("label", has_text=what).first.click()
        if group:
            await dialog.locator("#new-group").fill(group)
        if people:
            await dialog.locator("#new-people").fill(people)
        await dialog.locator("#new-go").click()

    async def show_groups(self) -> None:
        """On a phone, open the drawer."""
        menu = self.page.get_by_role("button", name=re.compile(r"^Groups( \d+\+?)?$"))  # with what is unread
        if await menu.is_visible() and await menu.get_attribute("aria-expanded") == "false":
            await menu.click()

    def group(self, group: str) -> Locator:
        """A group in the list."""
        return self.page.locator(f'button.group[data-group="{group}"]')

    async def live(self, group: str) -> None:
        """Wait until this page hears a group, and open it."""
        await expect(self.group(group)).to_have_attribute("data-state", "live", timeout=30_000)
        if await self.page.locator("#chat-title").inner_text() != group:
            await self.show_groups()
            await self.group(group).click()
        await expect(self.page.locator("#chat-title")).to_have_text(group)

    async def say(self, text: str) -> None:
        """Send a message to the open group."""
        await self.page.get_by_label("Message", exact=True).fill(text)
        await self.page.get_by_role("button", name="Send", exact=True).click()

    async def sees(self, seq: int, text: str, sender: str) -> None:
        """Wait until a message is shown with its seq and sender."""
        shown = self.message(seq)
        await expect(shown.locator(".body")).to_have_text(text, timeout=30_000)
        await expect(shown.locator(".seq")).to_have_text(f"#{seq:,}")
        await expect(shown.locator(".sender")).to_have_text(sender)

    def message(self, seq: int) -> Locator:
        """The message with this seq."""
        return self.page.locator(f'.message[data-seq="{seq}"]')

    @property
    def filled(self) -> Locator:
        """The marks of messages that filled a gap."""
        return self.page.locator(".message .tag")

    @property
    def gaps(self) -> Locator:
        """What the gaps say."""
        return self.page.locator(".gap .gap-text")

    @property
    def pending(self) -> Locator:
        """Own messages that have no place yet."""
        return self.page.locator("#pending li")

    @property
    def toast(self) -> Locator:
        """What the page says once."""
        return self.page.get_by_role("alert")

    async def people(self) -> dict[str, str]:
        """Who is shown, and where they are."""
        rows = await self.page.locator(".person").all()
        links = ".person-links"
        return {await row.get_attribute("data-user") or "": await row.locator(links).inner_text() for row in rows}

    async def seqs(self) -> list[int]:
        """The seqs shown, from top to bottom."""
        found: list[int] = await self.page.evaluate(
            "Array.from(document.querySelectorAll('.message[data-seq]'), (row) => Number(row.dataset.seq))"
        )
        return found

    async def lose(self, count: int = 1) -> None:
        """Make this page lose the next messages."""
        more = self.page.get_by_role("button", name="People and link")
        if narrow := await more.is_visible():
            await more.click()
        for _ in range(count):
            await self.page.locator("#drop").click()
        if narrow:
            await self.page.keyboard.press("Escape")
