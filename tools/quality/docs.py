"""The library's static site over suites and validations, which takes nothing from elsewhere when it is opened."""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue, ValidationError

from ..errors import ToolFailure
from ..locks import locked
from ..runtime.work import Work
from ..storage.state_files import own_folder
from .client import validations
from .models import DataDocs, DocsRequest, StoredSuite, Validation
from .results import BATCH, as_result, escaped, run_name, suite_of
from .rules import build
from .suites import SuiteStore

# What the library's pages would fetch: style, scripts, its logo.
FETCHED = re.compile(
    r"<script[^>]*\bsrc=[\"'](?:https?:)?//[^>]*>\s*</script>|<(?:link|img)[^>]*\b(?:href|src)=[\"'](?:https?:)?//[^>]*>",
    re.IGNORECASE,
)
# A browser runs no script of a page, whatever text of data stands in it, and fetches nothing.
GUARD = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'self\' data:; '
    "script-src 'none'; style-src 'self' 'unsafe-inline'\">"
    "<style>body{font:15px/1.5 sans-serif;margin:2em;max-width:80em}table{border-collapse:collapse}"
    "td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left}</style>"
)
ASSETS = ("static",)
LISTED = 50
PATIENCE_S = 60.0


def create_data_docs(work: Work, request: DocsRequest) -> DataDocs:
    """Build the site anew over all suites and the newest validations; the one before is replaced whole."""
    suites, unused = _suites(work)
    found = _newest(work, request.limit)
    if not suites and not found:
        raise ToolFailure("there is nothing to show", "create_suite or validate_dataset first.")
    target = work.home / "data_docs"
    with tempfile.TemporaryDirectory(prefix="mlops-docs-") as name:
        site = _built(work, Path(name), suites, found)
        pages = [_plain(page) for page in sorted(site.rglob("*.html"))]
        for folder in ASSETS:
            shutil.rmtree(site / folder, ignore_errors=True)
        put_in_place(site, target)
    shown = {part: len(list((target / part).rglob("*.html"))) for part in ("expectations", "validations")}
    wanted = {"expectations": len(suites), "validations": len(found)}
    return DataDocs(
        path=str(target / "index.html"),
        pages=len(pages),
        suites=shown["expectations"],
        validations=shown["validations"],
        notes=[
            *(f"{each} is left out: its rules are not used" for each in unused),
            *(
                f"{wanted[part] - count} {part} could not be shown by the library"
                for part, count in shown.items()
                if count < wanted[part]
            ),
        ],
    )


def _suites(work: Work) -> tuple[list[StoredSuite], list[str]]:
    store, good, unused = SuiteStore(work.settings), list[StoredSuite](), list[str]()
    for name in store.names():
        try:
            good.append(store.get(name))
        except ToolFailure:
            unused.append(f"suite:{name}")
    return good, unused


def _newest(work: Work, limit: int) -> list[tuple[Validation, datetime]]:
    """The newest validations that can be read, and when they were made."""
    files = [(path.stat().st_mtime, path) for path in validations(work).glob("*.json")]
    found = list[tuple[Validation, datetime]]()
    for seconds, path in sorted(files, reverse=True)[:limit]:
        with suppress(OSError, ValidationError):
            read = Validation.model_validate_json(path.read_bytes())
            found.append((read, datetime.fromtimestamp(seconds, UTC)))
    return found


def _built(
    work: Work, folder: Path, suites: Sequence[StoredSuite], found: Sequence[tuple[Validation, datetime]]
) -> Path:
    """A project of the library that lives as long as the building, and its site."""
    import great_expectations as gx

    logging.captureWarnings(False)
    context: Any = gx.get_context(mode="file", project_root_dir=folder)
    context.variables.progress_bars = {"globally": False}
    for suite in suites:
        rules = [build(rule, _shown(rule.kwargs), str(place)) for place, rule in enumerate(suite.expectations)]
        context.suites.add(gx.ExpectationSuite(name=suite.name, expectations=rules))
    for number, (validation, when) in enumerate(found):
        work.progress(number, len(found), f"validation {number + 1} of {len(found)}")
        _keep(context, validation, when)
    with work.tracer.span("data docs", suites=len(suites), validations=len(found)):
        context.build_data_docs()
    return folder / "gx" / "uncommitted" / "data_docs" / "local_site"


def _shown(kwargs: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """What a page shows of a rule: long lists are cut."""
    cut = {name: value[:LISTED] if isinstance(value, list) else value for name, value in kwargs.items()}
    return {name: escaped(value) for name, value in cut.items()}


def _keep(context: Any, validation: Validation, when: datetime) -> None:
    from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    key = ValidationResultIdentifier(
        expectation_suite_identifier=ExpectationSuiteIdentifier(suite_of(validation)),
        run_id=RunIdentifier(run_name=run_name(validation), run_time=when),
        batch_identifier=BATCH,
    )
    said: Any = escaped(as_result(validation, when))
    result: Any = expectationSuiteValidationResultSchema.load(said)
    context.validation_results_store.set(key, result)


def _plain(page: Path) -> Path:
    """Take out of a page what it would fetch or run."""
    text = FETCHED.sub("", page.read_text(encoding="utf-8"))
    page.write_text(text.replace("<head>", f"<head>{GUARD}", 1), encoding="utf-8")
    return page


def put_in_place(site: Path, target: Path) -> None:
    """Two that build at the same time would take away what the other one copies."""
    own_folder(target.parent)
    draft = target.with_name(f"{target.name}.new")
    with locked(target.with_name(f"{target.name}.lock"), PATIENCE_S, "another call builds the site"):
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(site, draft)
        shutil.rmtree(target, ignore_errors=True)
        draft.replace(target)
