"""A real browser: the Chromium of this machine, one in each process of tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import Browser, Frame, Page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
HOW = "apt-get install chromium"
THEMES = ("light", "dark")
# What a theme changes; all else is looked at in one of them.
OF_THEMES = {"light": (), "dark": ("color-contrast",)}
WIDE, NARROW = 1280, 320


def program() -> str | None:
    """Where the browser is, if there is one."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@asynccontextmanager
async def launched(path: str) -> AsyncGenerator[Browser]:
    """A browser that shows no window; root cannot have its sandbox."""
    from playwright.async_api import async_playwright

    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=[*flags, "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened(browser: Browser, width: int = WIDE, theme: Any = "light", **more: Any) -> AsyncGenerator[Page]:
    """A page of its own, without what others have stored."""
    context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **more)
    try:
        yield await context.new_page()
    finally:
        await context.close()


async def faults(page: Page | Frame, *rules: str) -> list[str]:
    """What axe-core finds serious or critical, by all its rules or some, with the first elements that it names."""
    from axe_playwright_python.async_playwright import Axe

    chosen = {"runOnly": list(rules)} if rules else {}
    found = await Axe().run(page, options={"resultTypes": ["violations"], **chosen})
    return [
        f"{each['id']}: {each['help']} {[node['html'][:200] for node in each['nodes'][:3]]}"
        for each in found.response["violations"]
        if each["impact"] in ("serious", "critical")
    ]


async def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window: what is wide has to scroll by itself."""
    found = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return int(found)
