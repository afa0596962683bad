"""`mlops-mcp report`: what a trace holds, as one file, and what is said where there is nothing."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser
from pydantic import BaseModel

from mlops_mcp.config.settings import Settings
from mlops_mcp.examples.credit_risk.demo import reported
from mlops_mcp.server.cli import main
from mlops_mcp.tools.estimates import Estimate
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.runtime.jobs.launch import table_of
from mlops_mcp.tools.runtime.jobs.table import End, NewJob
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracing.store.writer import TraceStore
from mlops_mcp.tools.training.models import Evaluation
from mlops_mcp.tools.tuning.models import Comparison, Contender

from ...browser import NARROW, OF_THEMES, THEMES, faults, opened, overflow
from ..apps.answers import EXPLAINED, SCRIPT, TUNED

SCORED = Evaluation(
    model="model:credit/1", dataset="dataset:a@1", rows=90, metric="auc",
    score=Estimate(value=0.94, interval=(0.91, 0.96), method="95 % logit-DeLong", n=90, verdict="above_baseline"),
    metrics={"auc": 0.94, SCRIPT: None}, baseline_metrics={"auc": 0.5}, notes=[f"key sk-ant-api03-{'a' * 30}"],
)  # fmt: skip
COMPARED = Comparison(
    comparison="comparison:a", metric="auc", direction="maximize", task="", scored_on="", rows=90, seconds=1.0,
    candidates=[Contender(candidate="XGBoost", score=SCORED.score), Contender(candidate=SCRIPT, error="no")],
)  # fmt: skip
RESULTS: dict[str, BaseModel] = {
    "evaluate_model": SCORED, "compare_models": COMPARED, "tune_model": TUNED, "explain_model": EXPLAINED,
}  # fmt: skip


@pytest.fixture
def trace(settings: Settings) -> str:
    """A trace with a job of each kind that a report shows, one that has failed, and one of another trace."""
    tracer = Tracer((store := TraceStore(settings.trace_store, 64)).put)
    with tracer.span("agent") as root, tracer.span(SCRIPT):
        pass
    store.close()
    for tool, result in RESULTS.items():
        _ended(settings, tool, root.trace_id, End("done", result=result.model_dump_json()))
    _ended(settings, "package_model", root.trace_id, End("done", result='{"bento": "bento:credit:1"}'))
    _ended(settings, "train_model", root.trace_id, End("failed", error=f"no column {SCRIPT}"))
    _ended(settings, "evaluate_model", "another", End("done", result='{"model": "model:other/1"}'))
    lineage = Lineage(settings.home)
    lineage.record("model:credit/1", ["dataset:a@1"], "register_model")
    lineage.record("bento:credit:1", ["model:credit/1"], "package_model")
    return f"trace:{root.trace_id}"


def _ended(settings: Settings, tool: str, trace: str, end: End) -> None:
    table = table_of(settings)
    row = table.insert(NewJob(tool, "", "x:y", "{}", 1, trace, "", None, "{}", "/", "/home", "{}"))
    with table.backend.open() as db:
        db.execute("update jobs set state='running', attempt=1 where id=?", (row.id,))
    table.finish(row.id, 1, end)


@pytest.fixture
def run(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: main(["report", *arguments])


def test_a_report_holds_what_was_found_and_nothing_that_acts(
    run: Any, trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    assert run(trace, "--out", str(out)) == 0
    assert capsys.readouterr().out.strip() == str(out)
    written = out.read_text(encoding="utf-8")
    headings = re.findall("<h2>(.*?)</h2>", written)
    assert headings == [
        "Scores", "Models compared", "Search", "What the model goes by (SHAP)", "Lineage of bento:credit:1", "Jobs",
        "Trace",
    ]  # fmt: skip
    assert "0.91 to 0.96 (95 % logit-DeLong)" in written
    assert html.escape(SCRIPT) in written
    assert "model:other/1" not in written
    assert [each for each in ("<script", "sk-ant-api03-aaa", "href=", "http://", "https://") if each in written] == []
    assert "default-src &#x27;none&#x27;" in written


def test_of_a_thing_the_trace_in_which_it_was_made_is_reported(run: Any, trace: str, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert run("bento:credit:1", "--out", str(out)) == 0
    written = out.read_text(encoding="utf-8")
    assert trace.removeprefix("trace:")[:8] in written or "agent" in written
    assert "<h2>Scores</h2>" in written


@pytest.mark.usefixtures("run")
async def test_the_demonstration_ends_with_a_report_and_its_path(
    trace: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await reported(settings.home, trace.removeprefix("trace:")) == 0
    out = settings.home / "report.html"
    assert str(out) in capsys.readouterr().out
    assert "<h2>Scores</h2>" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize("handle", ["trace:nothing", "model:nothing/1", "", "../../etc/passwd", SCRIPT])
def test_what_nothing_is_known_of_is_refused_and_no_file_is_written(
    run: Any, trace: str, tmp_path: Path, handle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trace
    out = tmp_path / "report.html"
    assert run(handle, "--out", str(out)) == 1
    assert not out.exists()
    assert "Traceback" not in capsys.readouterr().err


def test_where_nothing_can_be_written_that_is_said(
    run: Any, trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(trace, "--out", str(tmp_path / "missing" / "report.html")) == 1
    assert "missing" in capsys.readouterr().err


def test_an_empty_installation_has_nothing_to_report_and_stays_empty(
    run: Any, settings: Settings, tmp_path: Path
) -> None:
    assert run("run:a", "--out", str(tmp_path / "report.html")) == 1
    assert not settings.home.exists()


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="session")
async def test_a_report_opened_as_a_file_is_accessible_in_both_themes_and_narrow(
    run: Any, trace: str, tmp_path: Path, browser: Browser
) -> None:
    out = tmp_path / "report.html"
    assert run(trace, "--out", str(out)) == 0
    for theme in THEMES:
        async with opened(browser, theme=theme) as page:
            await page.goto(out.as_uri())
            assert await faults(page, *OF_THEMES[theme]) == []
            await page.screenshot(path=tmp_path / f"report-{theme}.png", full_page=True)
            await page.set_viewport_size({"width": NARROW, "height": 900})
            assert await overflow(page) <= 0
            await page.screenshot(path=tmp_path / f"report-{theme}-narrow.png", full_page=True)
