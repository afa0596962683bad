"""Validations as Great Expectations' own results, and its static site over them."""

from __future__ import annotations

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.quality import client, published
from mlops_mcp.tools.quality.docs import FETCHED, create_data_docs, put_in_place
from mlops_mcp.tools.quality.models import DocsRequest, Expectation, Validation
from mlops_mcp.tools.quality.results import as_result, escaped
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

from .conftest import Store

EVIL = "<script>alert('x')</script>"
RULES = [
    Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": "a"}),
    Expectation(type="expect_column_values_to_be_in_set", kwargs={"column": "b", "value_set": ["x", EVIL[:8]]}),
    Expectation(type="expect_column_mean_to_be_between", kwargs={"column": "a", "min_value": 0, "max_value": 9}),
    Expectation(type="expect_column_mean_to_be_between", kwargs={"column": "empty", "min_value": 0}, severity="info"),
]
CONFIGURATION = """
stores:
  validation_results_store:
    class_name: ValidationResultsStore
    store_backend: {class_name: TupleFilesystemStoreBackend, base_directory: uncommitted/validations/}
"""


def frame() -> pd.DataFrame:
    return pd.DataFrame({"a": [1.0, None, 3.0], "b": ["x", EVIL, "y"], "empty": [None, None, None]}).astype(
        {"empty": float}
    )


@pytest.fixture
def judged(work: Work, store: Store) -> Validation:
    client.create_suite(work, "ours", RULES)
    return client.validate_dataset(work, store(frame()), "suite:ours", "", [], "full")


def test_sites_that_are_built_side_by_side_replace_each_other_whole(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for number in range(200):
        page = made / str(number) / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text("x")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: put_in_place(made, tmp_path / "home" / "data_docs"), range(12)))
    assert len(list((tmp_path / "home" / "data_docs").rglob("*.html"))) == 200
    assert not (tmp_path / "home" / "data_docs.new").exists()


@pytest.mark.slow
def test_a_result_is_one_that_the_library_reads_and_counts_alike(judged: Validation) -> None:
    from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema as schema

    said: dict[str, Any] = as_result(judged, datetime.now(UTC))
    read: Any = schema.loads(json.dumps(said))
    assert [each.success for each in read.results] == [False, False, True, False]
    assert [each.exception_info["raised_exception"] for each in read.results] == [False, False, False, True]
    assert read.results[1].result["unexpected_count"] == 2
    assert read.results[1].result["partial_unexpected_list"] == [
        example.value for example in judged.results[1].examples or []
    ]
    assert read.results[2].result["observed_value"] == 2
    assert read.statistics == {
        "evaluated_expectations": 4,
        "successful_expectations": 1,
        "unsuccessful_expectations": 3,
        "success_percent": 25,
    }
    assert (read.suite_name, read.asset_name, read.success) == ("ours", judged.dataset, False)


def test_texts_of_data_are_written_so_that_a_page_shows_them() -> None:
    assert escaped({"a": [EVIL, 1, None]}) == {
        "a": [EVIL.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#x27;"), 1, None]
    }


class Page(HTMLParser):
    """What a browser would fetch and run of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched = list[str]()
        self.links = list[str]()
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "link", "img", "iframe") and (where := given.get("src") or given.get("href")):
            self.fetched.append(where)
        if tag == "a" and (where := given.get("href")):
            self.links.append(where)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given.get("content") or ""


@pytest.mark.slow
def test_the_site_shows_suites_and_validations_and_neither_fetches_nor_runs_anything(
    work: Work, judged: Validation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refused)
    made = create_data_docs(work, DocsRequest(limit=5))
    site = Path(made.path).parent
    pages = sorted(site.rglob("*.html"))
    assert made.notes == []
    assert (made.validations, made.pages, made.path) == (1, len(pages), str(work.home / "data_docs" / "index.html"))
    texts = {page: page.read_text() for page in pages}
    (result,) = [text for page, text in texts.items() if "validations" in page.parts]
    assert "values must never be null" in result
    assert any("ours" in page.name for page in pages)
    assert EVIL not in "".join(texts.values())
    for text in texts.values():
        page = Page()
        page.feed(text)
        assert not [where for where in page.fetched if re.match(r"(https?:)?//", where)]
        assert "script-src 'none'" in page.policy
    again = create_data_docs(work, DocsRequest(limit=0))
    assert (again.validations, again.path) == (0, made.path)
    assert not [page for page in site.rglob("*.html") if "validations" in page.relative_to(site).parts]


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://cdn.example/x.js"></script>',
        "<link rel='stylesheet' href='//cdn.example/x.css' integrity='a'>",
        '<img class="logo" src="https://example/logo.png"/>',
    ],
)
def test_what_a_page_would_fetch_is_taken_out_of_it(tag: str) -> None:
    assert (
        FETCHED.sub("", f"<p>{tag}</p><a href='https://example'>kept</a>")
        == "<p></p><a href='https://example'>kept</a>"
    )


def project(tmp_path: Path, allowed: bool, text: str = CONFIGURATION) -> Work:
    root = tmp_path / "gx"
    (root / "expectations").mkdir(parents=True)
    (root / "great_expectations.yml").write_text(text)
    values = {"great_expectations.context_root": str(root), "great_expectations.write_results": allowed}
    return Work(load({"MLOPS_HOME": str(tmp_path / "home")}, values).settings, Tracer(lambda _: None))


@pytest.mark.parametrize("allowed", [False, True])
def test_a_project_gets_a_result_only_where_that_is_allowed_until_the_validation_is_deleted(
    tmp_path: Path, judged: Validation, allowed: bool
) -> None:
    work = project(tmp_path / "team", allowed)
    published.publish(work.settings, judged)
    written = list((work.settings.gx_home / "uncommitted").rglob("*.json"))
    assert len(written) == allowed
    if not allowed:
        return
    run = judged.validation.partition(":")[2]
    assert written[0].relative_to(work.settings.gx_home).parts[:4] == ("uncommitted", "validations", "ours", run)
    assert json.loads(written[0].read_text())["suite_name"] == "ours"
    published.withdraw(work.settings, judged.validation)
    assert not list((work.settings.gx_home / "uncommitted").rglob("*.json"))


@pytest.mark.parametrize("text", ["a: [", "stores: 3", CONFIGURATION.replace("TupleFilesystem", "TupleS3"), ""])
def test_a_project_that_keeps_results_elsewhere_is_said_to(tmp_path: Path, judged: Validation, text: str) -> None:
    with pytest.raises(ToolFailure, match="results cannot be written"):
        published.publish(project(tmp_path / "team", True, text).settings, judged)


def test_without_suites_and_validations_there_is_no_site(tmp_path: Path) -> None:
    values: dict[str, object] = {"great_expectations.default_suites": {}}
    work = Work(load({"MLOPS_HOME": str(tmp_path)}, values).settings, Tracer(lambda _: None))
    with pytest.raises(ToolFailure, match="nothing to show"):
        create_data_docs(work, DocsRequest(limit=5))
