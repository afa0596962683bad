"""What those are told who run a server."""

from __future__ import annotations

import re

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime.jobs.launch import home_id, stored, table_of
from mlops_mcp.tools.runtime.jobs.table import NewJob

from .conftest import Door

SAMPLE = re.compile(r'[a-z_]+(\{state="[a-z]+"\})? [0-9.e+]+')


async def test_that_it_lives_is_told_to_anybody_and_nothing_else_is(door: Door) -> None:
    door.tokens.make("ann", "admin")
    for headers in ({}, {"Host": "10.1.2.3:8765"}, {"Authorization": "Bearer wrong"}):
        answer = await door.http.get("/healthz", headers=headers)
        assert (answer.status_code, answer.text) == (200, "ok")
    for path in ("/readyz", "/metrics", "/healthz/", "/healthz/x", "/HEALTHZ"):
        assert (path, (await door.http.get(path)).status_code) == (path, 401)
    assert (await door.http.post("/healthz")).status_code == 401


async def test_it_is_ready_unless_its_state_cannot_be_used(door: Door, settings: Settings) -> None:
    bearer = door.bearer("probe", "read")
    answer = await door.http.get("/readyz", headers=bearer)
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "wrong": []})
    (settings.home / "jobs.db").write_bytes(b"no database at all" * 100)
    answer = await door.http.get("/readyz", headers=bearer)
    assert answer.status_code == 503
    assert "job table" in answer.json()["wrong"][0]


async def test_prometheus_reads_how_much_goes_on_whoever_owns_it(door: Door, settings: Settings) -> None:
    table = table_of(settings)
    for owner in ("ann", "bob", "bob"):
        home = f"{home_id(settings)}x"
        table.insert(NewJob("t", "", "x:y", "{}", 1, "", "", None, stored(settings), "/", home, "{}", owner=owner))
    answer = await door.http.get("/metrics", headers=door.bearer("probe", "read"))
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = [line for line in answer.text.splitlines() if not line.startswith("# ")]
    assert all(SAMPLE.fullmatch(line) for line in samples), samples
    assert 'mlops_jobs{state="queued"} 3' in samples
    assert "mlops_http_requests 1" in samples
    assert "ann" not in answer.text
    families = [line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    assert {line.partition(" ")[0].partition("{")[0] for line in samples} <= set(families)
