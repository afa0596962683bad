"""Keep suites of rules and validate datasets by them."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..data.store import Dataset, resolve
from ..errors import ToolFailure
from ..handles import check_name
from ..lineage import Lineage
from ..paging import Page, page
from ..runtime.work import Work
from ..storage.state_files import replaced
from ..undo import deletes
from .engine import Judged, run
from .library import Engine
from .models import Condition, Expectation, RuleResult, StoredSuite, Suite, SuiteInfo, Validation, Verdict
from .plain import shortened
from .published import publish
from .rows import conditions_for
from .rules import checked
from .subject import Subject, subject_of
from .suites import SuiteStore, columns_of

Detail = Literal["short", "full"]
GRAVEST = ("critical", "warning", "info")
BRIEF_RESULTS = 12


def create_suite(work: Work, name: str, expectations: list[Expectation]) -> SuiteInfo:
    """Check every rule and store them as a new version."""
    check_name(name, "suite")
    store = SuiteStore(work.settings)
    before = store.latest_of_ours(name)
    suite = store.add(name, checked(expectations))
    _record_version(work, suite)
    if before and before.version == suite.version:
        return _info(suite, ["these are the rules that the suite has already"])
    made = _info(suite, [f"replaces version {before.version}, kept as {_versioned(before)}"] if before else [])
    return made.model_copy(update={"undo": deletes(_versioned(suite))})


def get_suite(work: Work, suite: str, detail: Detail, limit: int, cursor: str) -> Suite:
    return _shown(SuiteStore(work.settings).get(suite), detail, limit, cursor)


def get_default_suite(work: Work, task: str) -> Suite:
    store = SuiteStore(work.settings)
    return _shown(store.get(store.default(task)), "short", 20, "")


def list_suites(work: Work, limit: int, cursor: str) -> Page[SuiteInfo]:
    store = SuiteStore(work.settings)
    names = page(store.names(), limit, cursor)
    return Page(items=[_line(store, name) for name in names.items], total=names.total, next_cursor=names.next_cursor)


def _line(store: SuiteStore, name: str) -> SuiteInfo:
    try:
        return _info(store.get(name))
    except ToolFailure as failure:  # one that cannot be used does not hide the others
        newest = max(store.files(name), default=0)
        return SuiteInfo(suite=f"suite:{name}", version=newest, rules=0, columns=[], created="", notes=[str(failure)])


def validate_dataset(
    work: Work, dataset: str, suite: str, split: str, row_condition: list[Condition], detail: Detail
) -> Validation:
    """Judge a dataset, or the rows of it that satisfy all conditions."""
    started = time.perf_counter()
    stored, source = SuiteStore(work.settings).get(suite), resolve(work, dataset)
    conditions = conditions_for(source, split, row_condition)
    with subject_of(work, source, stored.expectations, conditions) as subject:
        with work.tracer.span("rules", rules=len(stored.expectations), rows=subject.count):
            judged = run(lambda: work.once(Engine), subject, stored.expectations)
        whole = _validation(source, stored, subject, judged, time.perf_counter() - started)
    whole = whole.model_copy(update={"row_condition": conditions})
    _keep(work, whole, stored)
    return _shortened(whole, detail)


def _validation(
    source: Dataset, suite: StoredSuite, subject: Subject, judged: Sequence[Judged], seconds: float
) -> Validation:
    results = [item.result for item in judged]
    identity = f"validation:{uuid.uuid4().hex[:12]}"
    counts: Counter[Verdict] = Counter(result.verdict for result in results)
    gravest = {result.severity for result in results if result.verdict == "failed"}
    verdict: Verdict = "failed" if counts["failed"] else "not_evaluated" if counts["not_evaluated"] else "passed"
    return Validation(
        validation=identity,
        dataset=source.handle,
        suite=f"suite:{suite.name}",
        suite_version=suite.version,
        verdict=verdict,
        success=verdict == "passed",
        passed=counts["passed"],
        failed=counts["failed"],
        not_evaluated=counts["not_evaluated"],
        worst_failed=next((severity for severity in GRAVEST if severity in gravest), None),
        rows=source.info.rows,
        selected_rows=subject.count,
        broken_rows=broken_rows(judged),
        duration_seconds=round(seconds, 3),
        results=results,
        notes=_notes(subject, results),
        undo=deletes(identity),
    )


def broken_rows(judged: Sequence[Judged]) -> int | None:
    """How many distinct rows break any rule; None where not all of them were named."""
    if not all(item.complete for item in judged):
        return None
    return len({row for item in judged if item.result.verdict == "failed" for row in item.rows})


def _notes(subject: Subject, results: Sequence[RuleResult]) -> list[str]:
    tolerated = [result for result in results if result.verdict == "passed" and result.unexpected]
    infinite = subject.infinite()
    return [
        *(f"{name} holds {count} infinite values" for name, count in infinite.items()),
        *(
            f"rule {item.rule} passed although {item.unexpected} values break it (mostly={item.kwargs.get('mostly')})"
            for item in tolerated[:5]
        ),
    ]


def _shortened(whole: Validation, detail: Detail) -> Validation:
    """In brief only the rules that did not pass; long lists are cut either way."""
    wanted = [result for result in whole.results if detail == "full" or result.verdict != "passed"]
    kept = wanted if detail == "full" else wanted[:BRIEF_RESULTS]
    shown = [result.model_copy(update={"kwargs": shortened(result.kwargs)}) for result in kept]
    hidden = len(whole.results) - len(shown)
    notes = [f"{hidden} rules are not listed: detail='full' lists all"] if hidden else []
    return whole.model_copy(update={"results": shown, "notes": [*whole.notes, *notes]})


def _keep(work: Work, whole: Validation, suite: StoredSuite) -> None:
    publish(work.settings, whole)
    path: Path = validations(work) / f"{whole.validation.partition(':')[2]}.json"
    replaced(path, whole.model_dump_json(indent=1).encode())
    _record_version(work, suite)
    Lineage(work.home).record(whole.validation, [whole.dataset, _versioned(suite)], "validate_dataset")


def validations(work: Work) -> Path:
    return work.settings.gx_home / "validations"


def _record_version(work: Work, suite: StoredSuite) -> None:
    by = "create_suite" if suite.created else "built in"
    Lineage(work.home).record(_versioned(suite), [f"suite:{suite.name}"], by)


def _versioned(suite: StoredSuite) -> str:
    return f"suite:{suite.name}@{suite.version}"


def _info(suite: StoredSuite, notes: Sequence[str] = ()) -> SuiteInfo:
    return SuiteInfo(
        suite=f"suite:{suite.name}",
        version=suite.version,
        rules=len(suite.expectations),
        columns=list(dict.fromkeys(column for rule in suite.expectations for column in columns_of(rule))),
        created=suite.created or "built in",
        notes=list(notes),
    )


def _shown(suite: StoredSuite, detail: Detail, limit: int, cursor: str) -> Suite:
    rules = suite.expectations
    if detail == "short":
        rules = [rule.model_copy(update={"kwargs": shortened(rule.kwargs)}) for rule in rules]
    part = page(rules, limit, cursor)
    return Suite(**_info(suite).model_dump(), expectations=part.items, next_cursor=part.next_cursor)
