"""`mlops-mcp ui` as a person meets it: all its pages, and what it does to the folder that it shows."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Page

from mlops_mcp.server.ui.app import SITE

from ...browser import NARROW, OF_THEMES, THEMES, WIDE, faults, opened, overflow
from .conftest import Site
from .filled import RUN, SCRIPT

pytestmark = pytest.mark.slow
on_the_browsers_loop = pytest.mark.asyncio(loop_scope="session")

LARGEST = 200_000
# Of things of one kind, so many are looked at: they are shown alike.
ALIKE = 2
SHOWN = {
    "overview": "/", "runs": "/runs", "run": f"/run?of=run:{RUN}", "studies": "/studies",
    "study": "/study?of=study:search", "models": "/models", "model": "/model?of=model:credit/2",
    "datasets": "/datasets", "traces": "/traces", "endpoints": "/endpoints",
    "endpoint": "/endpoint?of=endpoint:credit", "jobs": "/jobs", "lineage": "/lineage?of=model:credit/1",
    "missing": "/nothing",
}  # fmt: skip


@pytest.fixture(scope="module")
def crawled(site: Site, before: object) -> Mapping[str, httpx.Response]:
    """Every page that can be reached, of those alike the first ones."""
    assert before
    found: dict[str, httpx.Response] = {}
    with httpx.Client(base_url=site.address, headers=site.bearer, timeout=600) as client:
        waiting = ["/"]
        while waiting:
            address = waiting.pop(0)
            if address in found or _alike(address, found) >= ALIKE:
                continue
            found[address] = client.get(address)
            waiting += [html.unescape(each) for each in re.findall(r'href="(/[^"]*)"', found[address].text)]
    return found


def _alike(address: str, found: Mapping[str, object]) -> int:
    path, query, _ = address.partition("?")
    return sum(1 for each in found if query and each.startswith(f"{path}?"))


@pytest.fixture(scope="module")
def before(site: Site) -> dict[str, tuple[str, int]]:
    """The files of the state folder as they are before anything is looked at."""
    return stored(site.home)


def stored(home: Path) -> dict[str, tuple[str, int]]:
    """What each file holds and when it was written. SQLite marks beside its files who reads them."""
    return {
        str(each.relative_to(home)): (hashlib.sha256(each.read_bytes()).hexdigest(), each.stat().st_mtime_ns)
        for each in sorted(home.rglob("*"))
        if each.is_file() and not each.name.endswith(("-shm", "-wal"))
    }


def test_looking_at_all_pages_changes_no_file(
    site: Site, before: dict[str, tuple[str, int]], crawled: Mapping[str, httpx.Response]
) -> None:
    assert {address.partition("?")[0] for address in crawled} == set(SITE)
    assert stored(site.home) == before
    assert [each.name for each in site.home.rglob("*-wal") if each.stat().st_size] == []


def test_every_page_is_bounded_and_whole(crawled: Mapping[str, httpx.Response]) -> None:
    # what nothing was made of has no history, and of the listed datasets only one has rows: that is said
    assert {address for address, page in crawled.items() if page.status_code != 200} <= {
        address for address in crawled if address.startswith(("/lineage?", "/dataset?"))
    }
    assert max(len(page.content) for page in crawled.values()) < LARGEST
    assert [address for address, page in crawled.items() if not page.text.endswith("</html>\n")] == []


def test_no_name_becomes_markup_and_nothing_hidden_is_sent(crawled: Mapping[str, httpx.Response]) -> None:
    said = "".join(page.text for page in crawled.values())
    assert html.escape(SCRIPT) in said
    assert "<script" not in said
    assert "<img" not in said
    assert [each for each in ("\x1b", "\u202e", "x" * 400) if each in said] == []


def test_runs_are_paged_filtered_and_ordered(site: Site) -> None:
    with httpx.Client(base_url=site.address, headers=site.bearer, timeout=600) as client:
        first = client.get("/runs", params={"order": "metrics.auc desc", "where": "params.depth = '3'"}).text
        handles = re.findall(r">(run:[0-9a-f]{32})</a>", first)
        (following,) = re.findall(r'href="([^"]+)">Next page', first)
        assert len(set(handles)) == 25
        second = client.get(html.unescape(following)).text
        assert set(re.findall(r">(run:[0-9a-f]{32})</a>", second)).isdisjoint(handles)
        refused = client.get("/runs", params={"where": "nonsense ~ 1"})
        assert refused.status_code == 404
        assert "nonsense" in refused.text


@on_the_browsers_loop
async def test_the_printed_address_opens_the_site_and_the_token_leaves_the_address(
    site: Site, browser: Browser
) -> None:
    async with opened(browser) as page:
        await page.goto(site.opening)
        await page.get_by_role("heading", name="Overview").wait_for()
        assert page.url == f"{site.address}/"
        assert await page.evaluate("document.cookie") == ""
        await page.get_by_role("link", name="Runs").click()
        await page.get_by_role("heading", name="Runs").wait_for()
        assert await page.title() == "Runs · mlops-mcp"


@on_the_browsers_loop
async def test_a_wrong_token_opens_nothing_and_says_so(site: Site, browser: Browser) -> None:
    async with opened(browser) as page:
        await page.goto(f"{site.address}/runs#token=wrong")
        await page.get_by_text("not the one").wait_for()
        assert await page.get_by_role("navigation").count() == 0


@pytest.mark.parametrize("theme", THEMES)
@on_the_browsers_loop
async def test_every_page_is_accessible_and_as_wide_as_its_window(
    site: Site, browser: Browser, theme: str, tmp_path: Path
) -> None:
    things = {**SHOWN, "dataset": f"/dataset?of={site.dataset}", "trace": _first(site, "/traces", "/trace"),
              "job": _first(site, "/jobs", "/job")}  # fmt: skip
    async with opened(browser, WIDE, theme, extra_http_headers=site.bearer) as page:
        for name, address in things.items():
            await page.goto(f"{site.address}{address}")
            assert await faults(page, *OF_THEMES[theme]) == [], name
            await page.screenshot(path=tmp_path / f"{name}-{theme}.png", full_page=True)
        if theme == "light":
            await page.set_viewport_size({"width": NARROW, "height": 900})
            for name, address in things.items():
                await page.goto(f"{site.address}{address}")
                assert await overflow(page) <= 0, name
                await page.screenshot(path=tmp_path / f"{name}-narrow.png", full_page=True)
    assert len(list(tmp_path.glob("*.png"))) >= len(things)


def _first(site: Site, listed: str, thing: str) -> str:
    page = httpx.get(f"{site.address}{listed}", headers=site.bearer, timeout=600).text
    return html.unescape(re.findall(rf'href="({thing}\?[^"]+)"', page)[0])


@on_the_browsers_loop
async def test_the_keyboard_reaches_the_content_and_every_part(site: Site, browser: Browser) -> None:
    async with opened(browser, extra_http_headers=site.bearer) as page:
        await page.goto(f"{site.address}/runs")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "To the content"
        reached = [await _tabbed(page) for _ in range(9)]
        assert reached == [
            "Overview",
            "Runs",
            "Studies",
            "Models",
            "Datasets",
            "Traces",
            "Endpoints",
            "Jobs",
            "Lineage",
        ]


async def _tabbed(page: Page) -> str:
    await page.keyboard.press("Tab")
    return str(await page.evaluate("document.activeElement.textContent"))
