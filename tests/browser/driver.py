"""A browser for tests, and the example page as a person uses it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

from playwright.async_api import Browser, Locator, Page, async_playwright, expect

DESKTOP: Final = (1100, 760)
PHONE: Final = (390, 780)

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
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
_INSTALL: Final = "apt-get install --yes --no-install-recommends chromium fonts-dejavu-core"


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
        """Open the page of a gateway and go in under a name."""
        context = await browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
        )
        tab = cls(await context.new_page(), name)
        await tab.page.goto(address)
        await tab.page.get_by_label("Your name").fill(name)
        await tab.page.get_by_role("button", name="Go in").click()
        await tab.connected()
        return tab

    async def connected(self) -> None:
        """Wait until the page is connected."""
        await expect(self.page.locator("#state")).to_have_text("connected", timeout=30_000)

    async def create(self, group: str) -> None:
        """Create a group and wait until it is live."""
        await self._group(group, "Create")

    async def join(self, group: str) -> None:
        """Join a group and wait until it is live."""
        await self._group(group, "Join")

    async def _group(self, group: str, button: str) -> None:
        if await self.page.locator("#back").is_visible():
            await self.page.locator("#back").click()
        await self.page.get_by_label("Group", exact=True).fill(group)
        await self.page.get_by_role("button", name=button, exact=True).click()
        await self.live(group)

    async def live(self, group: str) -> None:
        """Wait until this page hears a group, and open it."""
        shown = self.page.locator(f'button.group[data-group="{group}"]')
        await expect(shown.locator(".dot[data-state=live]")).to_have_count(1, timeout=30_000)
        if await shown.is_visible():
            await shown.click()
        await expect(self.page.locator("#chat-title")).to_have_text(group)

    async def say(self, text: str) -> None:
        """Send a message to the open group."""
        await self.page.get_by_label("Message", exact=True).fill(text)
        await self.page.get_by_role("button", name="Send").click()

    async def sees(self, seq: int, text: str, sender: str) -> None:
        """Wait until a message is shown with its seq and sender."""
        shown = self.message(seq)
        await expect(shown.locator(".body")).to_have_text(text, timeout=30_000)
        await expect(shown.locator(".seq")).to_have_text(f"#{seq}")
        await expect(shown.locator(".sender")).to_have_text(f"{sender} (you)" if sender == self.name else sender)

    def message(self, seq: int) -> Locator:
        """The message with this seq."""
        return self.page.locator(f'.message[data-seq="{seq}"]')

    @property
    def pulled(self) -> Locator:
        """The marks of messages that filled a gap."""
        return self.page.locator(".message .tag")

    @property
    def gaps(self) -> Locator:
        """The gaps shown."""
        return self.page.locator(".gap")

    @property
    def pending(self) -> Locator:
        """Own messages that have no place yet."""
        return self.page.locator("#pending li")

    async def seqs(self) -> list[int]:
        """The seqs shown, from top to bottom."""
        rows = await self.page.locator(".message[data-seq]").all()
        return [int(await row.get_attribute("data-seq") or 0) for row in rows]

    async def drop_next(self) -> None:
        """Make this page lose the next message."""
        box = self.page.get_by_label("Drop the next message")
        if not await box.is_visible():
            await self.page.locator("#tools summary").click()
        await box.check()

    async def link(self) -> str:
        """The link shown in the header."""
        return await self.page.locator("#link").inner_text()
