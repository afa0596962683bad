"""The pages over stores that are not there, are broken, or are asked for what they do not hold."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.ui.app import SITE, site
from mlops_mcp.server.ui.asking import Sources
from mlops_mcp.server.ui.guard import Keys
from mlops_mcp.tools.runtime.jobs.launch import table_of
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking.backend import place_store

from .filled import queued

PORT = 4321
KEYS = Keys.fresh(PORT)
LISTS = [
    path
    for path in SITE
    if path in ("/", "/runs", "/studies", "/models", "/datasets", "/traces", "/endpoints", "/jobs")
]
THINGS = ["/run", "/study", "/model", "/dataset", "/trace", "/endpoint", "/job"]


@pytest.fixture
async def client(settings: Settings) -> AsyncGenerator[httpx.AsyncClient]:
    """The site in this process, whose workers import nothing before they are asked."""
    runtime = settings.runtime.model_copy(update={"preload": "never"})
    sources = Sources.of(settings.model_copy(update={"runtime": runtime}))
    transport = httpx.ASGITransport(site(sources, KEYS, PORT))
    headers = {"Authorization": f"Bearer {KEYS.token}"}
    async with httpx.AsyncClient(
        transport=transport, base_url=f"http://127.0.0.1:{PORT}", headers=headers, timeout=600
    ) as client:
        yield client
    sources.calls.close()


@pytest.mark.slow
async def test_an_installation_that_nobody_has_used_is_shown_and_stays_as_it_is(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    shown = {path: await client.get(path) for path in [*LISTS, "/lineage", "/lineage?of=run:a"]}
    assert {path: page.status_code for path, page in shown.items() if page.status_code != 200} == {}
    told = {path: (await client.get(path, params={"of": "nothing"})).status_code for path in THINGS}
    assert set(told.values()) == {404}
    assert not settings.home.exists()


@pytest.mark.slow
async def test_broken_stores_are_told_in_a_sentence_and_left_as_they_are(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    home = settings.home
    broken = ["jobs.db", "lineage.db", "mlflow.db", "optuna/search.log", "endpoints/credit.json", "datasets/a@1.json"]
    for file in [*(home / each for each in broken), settings.trace_store]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("neither a database nor JSON" * 99)
    before = {str(each): each.read_bytes() for each in home.rglob("*") if each.is_file()}
    for path in [*LISTS, "/lineage?of=model:a/1"]:
        page = await client.get(path)
        assert page.status_code in (200, 503), path
        if page.status_code == 503:
            assert 'class="problem"' in page.text
            assert "Traceback" not in page.text
    assert {each: Path(each).read_bytes() for each in before} == before


async def test_a_job_whose_row_is_damaged_is_told_in_a_sentence(client: httpx.AsyncClient, settings: Settings) -> None:
    table = table_of(settings)
    queued(Work(settings, None))  # type: ignore[arg-type]
    row = table.recent(1)[0]
    with table.backend.open() as db:
        db.execute("update jobs set request='{' where id=?", (row.id,))
    page = await client.get("/job", params={"of": f"job:{row.id}"})
    assert page.status_code == 503
    assert "could not be read" in page.text


async def test_what_a_job_was_asked_for_is_shown_without_secrets(client: httpx.AsyncClient, settings: Settings) -> None:
    table = table_of(settings)
    queued(Work(settings, None))  # type: ignore[arg-type]
    row = table.recent(1)[0]
    request = json.dumps(
        {"source": "postgresql://ann:hunter2secret@db/x", "key": "sk-ant-api03-abcdefghij0123456789_AB"}
    )
    with table.backend.open() as db:
        db.execute("update jobs set request=? where id=?", (request, row.id))
    said = (await client.get("/job", params={"of": f"job:{row.id}"})).text
    assert "postgresql://ann" in said
    assert [each for each in ("hunter2secret", "abcdefghij") if each in said] == []


@pytest.mark.parametrize(
    "of", ["/etc/passwd", "run:x/../../y", "dataset:/etc/passwd", "source:db/table", "", "x" * 9000]
)
async def test_what_is_no_handle_is_not_there_and_nothing_is_loaded(
    client: httpx.AsyncClient, settings: Settings, of: str
) -> None:
    for path in THINGS:
        assert (await client.get(path, params={"of": of})).status_code == 404, path
    assert not settings.home.exists()


@pytest.mark.parametrize("path", ["/datasets", "/jobs", "/traces"])
async def test_a_cursor_that_no_list_has_given_is_refused(
    client: httpx.AsyncClient, settings: Settings, path: str
) -> None:
    place_store(settings.home / "mlflow.db")
    table_of(settings).count()
    refused = await client.get(path, params={"cursor": "<b>nonsense</b>"})
    assert refused.status_code == 404
    assert "<b>" not in refused.text


async def test_an_address_that_is_none_leads_back_to_the_parts(client: httpx.AsyncClient) -> None:
    page = await client.get("/nothing")
    assert page.status_code == 404
    assert 'href="/runs"' in page.text
