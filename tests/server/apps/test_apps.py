"""The apps as hosts show them: declared to who knows them alone, and drawn in a real browser."""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from mcp import Client
from mcp.client.extension import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp.types import TextResourceContents
from playwright.async_api import Browser
from pydantic import BaseModel

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.server.apps.pages import APPS, page
from mlops_mcp.tools import wire
from mlops_mcp.tools.tuning.models import Tried

from ...browser import NARROW, OF_THEMES, THEMES, faults, opened
from .answers import ANSWERS, RUNNING, SCRIPT, STUDY, TUNED, structured
from .host import Host

LARGEST = 60_000
KNOWS = [advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})]
on_the_browsers_loop = pytest.mark.asyncio(loop_scope="session")


def test_every_app_belongs_to_tools_that_there_are_and_no_tool_has_two() -> None:
    known = {name for names in wire.index().values() for name in names}
    bound = [tool for app in APPS.values() for tool in app.tools]
    assert set(bound) <= known
    assert len(set(bound)) == len(bound)


@pytest.mark.parametrize("name", APPS)
def test_an_app_is_one_small_file_that_names_no_other_place(name: str) -> None:
    written = page(name)
    assert len(written.encode()) < LARGEST
    addresses = set(re.findall(r"https?://[^\s\"'`]+", written))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a namespace
    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|import\(|fetch\(|XMLHttp", written) == []
    )
    assert "default-src 'none'" in html.unescape(written)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_who_declares_apps_is_told_them_and_all_others_get_the_list_that_they_had(
    settings: Settings, mode: Literal["auto", "legacy"]
) -> None:
    server = create_server(settings)
    async with server.services.running():
        async with Client(server, mode=mode) as client:
            plain = (await client.list_tools()).tools
            assert [tool.name for tool in plain if tool.meta] == []
            assert [each for each in (await client.list_resources()).resources if each.uri.startswith("ui:")] == []
        async with Client(server, mode=mode, extensions=KNOWS) as client:
            told = {
                tool.name: tool.meta["ui"]["resourceUri"] for tool in (await client.list_tools()).tools if tool.meta
            }
            assert told == {tool: app.uri for app in APPS.values() for tool in app.tools}
            for uri in set(told.values()):
                (found,) = (await client.read_resource(uri)).contents
                assert isinstance(found, TextResourceContents)
                assert found.mime_type == APP_MIME_TYPE
                assert found.text.startswith("<!doctype html>")


async def test_a_client_that_cannot_show_this_kind_of_app_is_not_told(settings: Settings) -> None:
    server = create_server(settings)
    other = [advertise(EXTENSION_ID, {"mimeTypes": ["text/plain"]})]
    async with server.services.running(), Client(server, extensions=other) as client:
        assert [tool.name for tool in (await client.list_tools()).tools if tool.meta] == []


async def test_a_server_that_offers_some_tools_has_the_apps_of_those(settings: Settings) -> None:
    options = settings.server.model_copy(update={"toolsets": ["tracking"]})
    server = create_server(settings.model_copy(update={"server": options}))
    async with server.services.running(), Client(server, extensions=KNOWS) as client:
        told = [tool.name for tool in (await client.list_tools()).tools if tool.meta]
        assert told == ["compare_runs"]


@pytest_asyncio.fixture(loop_scope="session")
async def host(browser: Browser) -> AsyncGenerator[Host]:
    async with opened(browser) as page:
        yield Host(page)


@pytest.mark.slow
@on_the_browsers_loop
@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_is_drawn_accessibly_whatever_it_names_and_without_the_network(
    host: Host, name: str, tmp_path: Path
) -> None:
    app, answer = ANSWERS[name]
    frame = host.page.main_frame
    for theme in THEMES:
        frame = await host.show(page(app), theme)
        await host.result(structured(answer))
        await frame.locator("table").first.wait_for()
        assert await frame.evaluate("document.documentElement.dataset.theme") == theme
        assert await faults(frame, *OF_THEMES[theme]) == []
        assert SCRIPT in (await frame.locator("main").inner_text())
        assert await frame.title() != "owned"
        assert await frame.locator("main script, img").count() == 0
        await host.page.screenshot(path=tmp_path / f"{name}-{theme}.png", full_page=True)
    await host.page.set_viewport_size({"width": NARROW, "height": 900})
    assert await frame.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    await host.page.screenshot(path=tmp_path / f"{name}-narrow.png", full_page=True)
    assert [each for each in host.requests if not each.startswith("about:")] == []


@pytest.mark.slow
@on_the_browsers_loop
async def test_an_app_speaks_the_protocol_of_the_extension(host: Host) -> None:
    await host.show(page("study"))
    asked = await host.heard("ui/initialize")
    assert asked["params"]["protocolVersion"] == "2026-01-26"
    assert set(asked["params"]) == {"appInfo", "appCapabilities", "protocolVersion"}
    sized = await host.heard("ui/notifications/size-changed")
    assert sized["params"]["height"] > 0
    wanted: Any
    for number, (method, wanted) in enumerate({"ping": {}, "ui/resource-teardown": {}, "other": None}.items(), 70):
        await host.send(method, {}, id=number)
        await host.page.wait_for_function(
            "(id) => window.log.some((each) => each.id === id && !each.method)", arg=number
        )
        (answer,) = [each for each in await host.log() if each.get("id") == number]
        assert answer.get("result") == wanted
        assert answer.get("error", {}).get("code") == (None if wanted == {} else -32601)
    await host.send("ui/notifications/host-context-changed", {"theme": "dark"})
    await host.page.frames[-1].wait_for_function("document.documentElement.dataset.theme === 'dark'")


@pytest.mark.slow
@on_the_browsers_loop
async def test_a_search_that_runs_is_followed_to_its_end_where_the_host_passes_calls_on(host: Host) -> None:
    ended = RUNNING.model_copy(update={"state": "done", "result": TUNED})
    answers: list[dict[str, Any]] = [
        {"content": [], "structuredContent": structured(each)} for each in (RUNNING, ended)
    ]
    frame = await host.show(page("study"), calls={"get_job": answers})
    await host.result(structured(RUNNING))
    await frame.get_by_text("Best parameters").wait_for()
    calls = [each["params"] for each in await host.log() if each.get("method") == "tools/call"]
    asked = {"name": "get_job", "arguments": {"job": "job:a", "wait_s": 10}}
    history = {"name": "get_study", "arguments": {"study": "study:search", "limit": 200}}
    assert calls == [asked, asked, history]


@pytest.mark.slow
@on_the_browsers_loop
async def test_where_no_calls_are_passed_on_its_progress_is_shown_and_nothing_is_called(host: Host) -> None:
    frame = await host.show(page("study"))
    await host.result(structured(RUNNING))
    await frame.get_by_text("running, 3 of 20, trial 3, best so far 0.91").wait_for()
    assert await frame.get_by_role("button").count() == 0
    assert [each for each in await host.log() if each.get("method") == "tools/call"] == []


@pytest.mark.slow
@on_the_browsers_loop
@pytest.mark.parametrize("answer", [STUDY, TUNED], ids=["stored", "finished"])
async def test_the_value_over_the_trials_is_asked_for_by_the_app_alone(
    host: Host, answer: BaseModel, tmp_path: Path
) -> None:
    tried = [Tried(number=2 * place, value=0.5 + place % 3 / 10, best=0.5 + min(place, 2) / 10) for place in range(50)]
    whole = STUDY.model_copy(update={"history": tried})
    answers = [{"content": [], "structuredContent": structured(whole)}]
    frame = await host.show(page("study"), calls={"get_study": answers})
    await host.result(structured(answer))
    picture = frame.get_by_role("img", name="auc over the trials")
    await picture.wait_for()
    assert await picture.locator("circle").count() == 50
    assert await faults(frame) == []
    await host.page.screenshot(path=tmp_path / "history.png", full_page=True)
    calls = [each["params"] for each in await host.log() if each.get("method") == "tools/call"]
    assert calls == [{"name": "get_study", "arguments": {"study": "study:search", "limit": 200}}]


@pytest.mark.slow
@on_the_browsers_loop
async def test_a_study_is_read_again_when_it_is_asked_for(host: Host) -> None:
    later = STUDY.model_copy(update={"metric": "later", "history": []})
    answers = [{"content": [], "structuredContent": structured(each)} for each in (STUDY, later)]
    frame = await host.show(page("study"), calls={"get_study": answers})
    await host.result(structured(STUDY))
    await frame.get_by_role("button", name="Look again").click()
    await frame.get_by_text("later").wait_for()
    await frame.get_by_role("button", name="Look again").click()
    await frame.get_by_text("no such tool here").wait_for()


@pytest.mark.slow
@on_the_browsers_loop
@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"isError": True, "content": [{"type": "text", "text": f"unknown {SCRIPT}"}]}, f"unknown {SCRIPT}"),
        ({"content": []}, "in words"),
        ({"structuredContent": {"runs": 5}}, "cannot be drawn"),
        ({"structuredContent": {"job": "job:a", "state": "failed", "error": "no rows"}}, "failed. no rows"),
        ({"content": [{"type": "text", "text": "[1, 2"}]}, "[1, 2"),
    ],
)
async def test_what_cannot_be_drawn_is_said(host: Host, params: dict[str, Any], said: str) -> None:
    frame = await host.show(page("runs"))
    await host.send("ui/notifications/tool-result", params)
    await frame.get_by_text(said).wait_for()
    assert await faults(frame) == []


@pytest.mark.slow
@on_the_browsers_loop
async def test_an_answer_in_text_alone_is_drawn_as_well_and_a_cancelled_call_is_said(host: Host) -> None:
    frame = await host.show(page("runs"))
    content = [{"type": "text", "text": json.dumps(structured(ANSWERS["runs"][1]))[:3900]}]
    await host.send("ui/notifications/tool-result", {"content": content})
    await frame.get_by_text("in words").wait_for()  # what is cut off is no JSON
    await host.send("ui/notifications/tool-cancelled", {"reason": "by a person"})
    await frame.get_by_text("cancelled. by a person").wait_for()
