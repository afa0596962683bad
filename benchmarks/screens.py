"""Pictures of `mlops-mcp ui` and of the apps, light, dark and narrow: `python -m benchmarks.screens FOLDER`.

They are to be looked at: over 10,000 runs, 200 datasets, and names that mean harm.
"""

from __future__ import annotations

import asyncio
import html
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
from playwright.async_api import Browser, Page

from mlops_mcp.config.load import load
from mlops_mcp.server.apps.pages import page as app_page
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from tests.browser import HOW, NARROW, THEMES, WIDE, faults, launched, opened, overflow, program
from tests.server.apps.answers import ANSWERS, structured
from tests.server.apps.host import Host
from tests.server.ui.filled import RUN, filled

RUNS, DATASETS = 10_000, 200
FORMS = [(theme, WIDE) for theme in THEMES] + [("light", NARROW)]
PLACES = (
    "/", "/runs", f"/run?of=run:{RUN}", "/studies", "/study?of=study:search", "/models",
    "/model?of=model:credit/2", "/datasets", "/traces", "/endpoints",
    "/endpoint?of=endpoint:credit", "/jobs", "/lineage?of=model:credit/1", "/nothing",
)  # fmt: skip


def main(folder: Path) -> None:
    path = program()
    if path is None:
        raise SystemExit(f"chromium is missing: {HOW}")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as state:
        home = Path(state) / "home"
        dataset = filled(Work(load({"MLOPS_HOME": str(home)}).settings, Tracer(lambda _: None)), RUNS, DATASETS)
        serving = subprocess.Popen(
            [sys.executable, "-m", "mlops_mcp.server", "ui"],
            env={**os.environ, "MLOPS_HOME": str(home)}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert serving.stdout
        try:
            address, _, token = serving.stdout.readline().strip().partition("/#token=")
            asyncio.run(_pictures(path, folder, address, {"Authorization": f"Bearer {token}"}, dataset))
        finally:
            serving.terminate()
            serving.wait()


async def _pictures(path: str, folder: Path, address: str, bearer: dict[str, str], dataset: str) -> None:
    places = [*PLACES, f"/dataset?of={dataset}", _trace(address, bearer)]
    async with launched(path) as browser:
        for theme, width in FORMS:
            async with opened(browser, width, theme, extra_http_headers=bearer) as page:
                for place in places:
                    await page.goto(f"{address}{place}")
                    await _kept(page, folder / f"page-{_name(place)}-{theme}-{width}.png")
            await _apps(browser, folder, theme, width)


async def _apps(browser: Browser, folder: Path, theme: str, width: int) -> None:
    async with opened(browser, width, theme) as page:
        host = Host(page)
        for name, (app, answer) in ANSWERS.items():
            frame = await host.show(app_page(app), theme)
            await host.result(structured(answer))
            await frame.locator("table").first.wait_for()
            await page.screenshot(path=folder / f"app-{name}-{theme}-{width}.png", full_page=True)


async def _kept(page: Page, file: Path) -> None:
    await page.screenshot(path=file, full_page=True)
    print(file.name, f"{await overflow(page)} px too wide", *await faults(page))


def _trace(address: str, bearer: dict[str, str]) -> str:
    """The trace that is not one of the many of one span: it was begun first."""
    with httpx.Client(base_url=address, headers=bearer, timeout=600) as client:
        place = "/traces"
        while following := re.search(r'href="([^"]+)">Next page', client.get(place).text):
            place = html.unescape(following[1])
        return html.unescape(re.findall(r'href="(/trace\?[^"]+)"', client.get(place).text)[-1])


def _name(place: str) -> str:
    return place.partition("?")[0].strip("/") or "overview"


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "screens"))
