"""Read a stored validation again: which rows of the dataset break its rules, and with which values.

The rows are not stored: dataset, suite version and conditions never change, so the failed rules are run once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.store import Dataset, resolve, save
from ..errors import ToolFailure, unknown
from ..handles import parse
from ..paging import Page, page
from ..runtime.work import Work
from .client import BRIEF_RESULTS
from .engine import run
from .examples import bad_values
from .library import Engine
from .models import Example, Expectation, RuleResult, StoredValidation, Validation
from .plain import shortened
from .subject import Subject, subject_of
from .suites import SuiteStore

if TYPE_CHECKING:
    import pyarrow as pa

ROW, RULES = "row", "rules"
SUFFIX, NAME_LENGTH = "_failing", 63
TAKEN_OVER = {"validation", "dataset", "suite", "suite_version", "verdict", "rows", "selected_rows"}


def get_validation(work: Work, validation: str, rule: int, limit: int, cursor: str) -> StoredValidation:
    """What was found, with the rows that break any rule, or the one of this number, as a dataset.

    Raises:
        ToolFailure: an unknown validation or rule.
    """
    whole = stored_validation(work, validation)
    shown = _chosen(whole, rule)
    with work.tracer.span("failing rows", validation=whole.validation):
        found = _failing(work, whole, shown)
    values: Page[Example] = page(list(found.values) if rule else [], limit, cursor)
    return StoredValidation(
        **whole.model_dump(include=TAKEN_OVER),
        broken_rows=found.count,
        failing=found.handle,
        results=[_brief(result) for result in shown[:BRIEF_RESULTS]],
        values=values.items,
        next_cursor=values.next_cursor,
        notes=[*([] if rule else whole.notes), *found.notes],
        undo=found.undo,
    )


@dataclass(frozen=True)
class Failing:
    """How many rows break the rules (None if that cannot be told), the dataset of them, the bad values of one rule.

    `undo` takes the dataset back, if it was not there before.
    """

    count: int | None
    handle: str | None = None
    values: Sequence[Example] = ()
    notes: Sequence[str] = ()
    undo: str | None = None


def _failing(work: Work, whole: Validation, results: Sequence[RuleResult]) -> Failing:
    broken = [result.rule for result in results if result.unexpected]
    aside = [str(result.rule) for result in results if result.verdict == "failed" and not result.unexpected]
    notes = [f"rules about a column as a whole have no rows: {', '.join(aside)}"] if aside else []
    if not broken:
        return Failing(None if aside else 0, notes=notes)
    try:
        source = resolve(work, whole.dataset)
    except ToolFailure as failure:
        return Failing(None, notes=[*notes, f"the rows cannot be shown: {failure.message}"])
    rules = SuiteStore(work.settings).get(f"{whole.suite}@{whole.suite_version}").expectations
    chosen = {number: rules[number - 1] for number in broken}
    with subject_of(work, source, list(chosen.values()), whole.row_condition) as subject:
        judged = run(lambda: work.once(Engine), subject, list(chosen.values()), complete=True)
        rows = {number: item.rows for number, item in zip(chosen, judged, strict=True)}
        values = _values(subject, chosen, rows) if len(chosen) == 1 else []
    made, said = _kept(work, source, whole, rows)
    count = len({row for each in rows.values() for row in each})
    handle, undo = (made.handle, made.info.undo) if made else (None, None)
    return Failing(count, handle, values, [*notes, *said], undo)


def stored_validation(work: Work, text: str) -> Validation:
    """As validate_dataset has found it; no rows are looked for. Raises ToolFailure for none."""
    name, known = parse(text, "validation").name, validations_kept(work)
    if name not in known:
        raise unknown("validation", name, known, "validate_dataset makes one.")
    return Validation.model_validate_json(known[name].read_bytes())


def validations_kept(work: Work) -> dict[str, Path]:
    """Their files by id."""
    return {path.stem: path for path in (work.settings.gx_home / "validations").glob("*.json")}


def _chosen(whole: Validation, rule: int) -> list[RuleResult]:
    """The result of one rule, else of those that did not pass."""
    if not rule:
        return [result for result in whole.results if result.verdict != "passed"]
    found = [result for result in whole.results if result.rule == rule]
    if not found:
        raise unknown(f"rule of {whole.validation}", rule, (str(result.rule) for result in whole.results))
    return found


def _brief(result: RuleResult) -> RuleResult:
    return result.model_copy(update={"kwargs": shortened(result.kwargs)})


def _values(subject: Subject, rules: Mapping[int, Expectation], rows: Mapping[int, Sequence[int]]) -> list[Example]:
    return [
        value for number, rule in rules.items() if rows[number] for value in bad_values(subject, rule, rows[number])
    ]


def _kept(
    work: Work, source: Dataset, whole: Validation, rows: Mapping[int, Sequence[int]]
) -> tuple[Dataset | None, list[str]]:
    """The failing rows as a dataset."""
    if work.settings.server.read_only:
        return None, ["this server is read-only, so the failing rows are no dataset"]
    table = _table(source.table(), rows)
    name = f"{source.name[: NAME_LENGTH - len(SUFFIX)]}{SUFFIX}"
    return save(work, table, name, [source.handle, whole.validation], "get_validation"), []


def _table(table: pa.Table, rows: Mapping[int, Sequence[int]]) -> pa.Table:
    """The rows in their order, with their numbers and the rules that they break."""
    import pyarrow as pa

    of_row = dict[int, list[str]]()
    for number, each in sorted(rows.items()):
        for row in each:
            of_row.setdefault(row, []).append(str(number))
    ordered = sorted(of_row)
    added = {
        _free(ROW, table.column_names): pa.array(ordered, pa.int64()),
        _free(RULES, table.column_names): pa.array([",".join(of_row[row]) for row in ordered], pa.string()),
    }
    part = table.take(pa.array([row - 1 for row in ordered], pa.int64()))
    return pa.table(added | {name: part.column(name) for name in part.column_names})


def _free(name: str, taken: Sequence[str]) -> str:
    return name if name not in taken else _free(f"validation_{name}", taken)
