"""Rules that a dataset keeps, each with what in the data speaks for it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..data.cells import look_at
from ..data.pairs import NAMES_ROWS
from ..data.store import Dataset, resolve
from ..errors import ToolFailure
from ..handles import check_name
from ..lineage import Lineage
from ..numbers import EXACT
from ..runtime.work import Work
from ..undo import deletes
from .engine import run
from .library import Engine
from .models import Expectation, Severity, SuggestedRule, SuggestedSuite
from .plain import shortened
from .rows import compute
from .rules import MAX_CHARACTERS, MAX_RULES, checked
from .subject import subject_of
from .suites import SuiteStore

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX, NAME_LENGTH = "_suite", 63
SHOWN = 15
FEWEST_ROWS = 10
# Values of a closed list: at most so many, each in so many rows on average, and no longer than this.
VALUES, ROWS_OF_A_VALUE, VALUE_LENGTH = 20, 5, 60
WHOLE_VALUES = 10
# How far a bound lies beyond what was seen, as a share of the range; and the same for missing values.
MARGIN, MORE_MISSING = 0.1, 0.05
TIMES = 6
NUMBER = r"^\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*$"


def suggest_suite(work: Work, dataset: str, name: str) -> SuggestedSuite:
    """Store the rules as a suite; each was tried on the dataset, and one that fails there says so.

    Raises:
        ToolFailure: the dataset has too few rows to learn from.
    """
    source = resolve(work, dataset)
    table = source.table()
    if table.num_rows < FEWEST_ROWS:
        raise ToolFailure(
            f"{source.handle} has {table.num_rows} rows, too few to learn rules from",
            f"Pass a dataset of at least {FEWEST_ROWS} rows, or write rules with create_suite.",
        )
    named = check_name(name or f"{source.name[: NAME_LENGTH - len(SUFFIX)]}{SUFFIX}", "suite")
    found, left_out = _within_bounds(list(_rules(table)))
    with work.tracer.span("try rules", rules=len(found), rows=table.num_rows):
        rules = _tried(work, source, found)
    store = SuiteStore(work.settings)
    before = store.latest_of_ours(named)
    suite = store.add(named, checked([Expectation(**rule.model_dump(exclude={"reason"})) for rule in rules]))
    Lineage(work.home).record(f"suite:{named}@{suite.version}", [f"suite:{named}", source.handle], "suggest_suite")
    more = len(rules) - SHOWN
    return SuggestedSuite(
        suite=f"suite:{named}",
        version=suite.version,
        dataset=source.handle,
        rules=len(rules),
        expectations=[rule.model_copy(update={"kwargs": shortened(rule.kwargs)}) for rule in rules[:SHOWN]],
        notes=[
            *([f"{more} more rules: get_suite(suite='suite:{named}') shows all"] if more > 0 else []),
            *([f"{left_out} rules are left out: a suite holds {MAX_RULES}"] if left_out else []),
            *([f"version {before.version} of the suite is kept"] if before and before.version != suite.version else []),
        ],
        undo=deletes(f"suite:{named}") if before is None else None,
    )


def _rule(kind: str, reason: str, severity: Severity = "critical", **kwargs: object) -> SuggestedRule:
    return SuggestedRule.model_validate(
        {"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity, "reason": reason}
    )


def _within_bounds(rules: Sequence[SuggestedRule]) -> tuple[list[SuggestedRule], int]:
    """As many as a suite holds."""
    kept, size = list[SuggestedRule](), 0
    for rule in rules[:MAX_RULES]:
        size += len(rule.model_dump_json(include={"kwargs"}))
        if size <= MAX_CHARACTERS:
            kept.append(rule)
    return kept, len(rules) - len(kept)


def _tried(work: Work, source: Dataset, rules: Sequence[SuggestedRule]) -> list[SuggestedRule]:
    """The rules that can be evaluated; one that fails on its own data says on how many rows."""
    with subject_of(work, source, rules, []) as subject:
        judged = run(lambda: work.once(Engine), subject, rules)
    kept = list[SuggestedRule]()
    for rule, item in zip(rules, judged, strict=True):
        if item.result.verdict == "failed":
            rule = rule.model_copy(update={"reason": f"{rule.reason}; fails now on {item.result.unexpected} rows"})
        if item.result.verdict != "not_evaluated":
            kept.append(rule)
    return kept


def _rules(table: pa.Table) -> Iterator[SuggestedRule]:
    names = [name for name in table.column_names if "`" not in name]
    reason = "the columns there are; more may come"
    yield _rule("table_columns_to_match_set", reason, column_set=table.column_names, exact_match=False)
    for name in names:
        yield from _of_column(name, table.column(name))
    yield from _of_times(table, names)


def _of_column(name: str, column: pa.ChunkedArray) -> Iterator[SuggestedRule]:
    import pyarrow as pa

    pc, rows = compute(), len(column)
    if pa.types.is_nested(column.type) or pa.types.is_null(column.type):
        return
    known = column.drop_null()
    if pa.types.is_floating(known.type):
        known = known.filter(pc.invert(pc.is_nan(known)))
    if not len(known):
        return
    yield _complete(name, rows, len(known))
    distinct = pc.count_distinct(known).as_py()
    if pa.types.is_string(known.type):
        yield from _of_text(name, known, distinct)
    elif pa.types.is_integer(known.type) or pa.types.is_floating(known.type):
        yield from _of_numbers(name, known, distinct)


def _complete(name: str, rows: int, known: int) -> SuggestedRule:
    if known == rows:
        return _rule("column_values_to_not_be_null", f"none of {rows} rows lacks it", column=name)
    missing = (rows - known) / rows
    mostly = max(math.floor(100 * (1 - missing - MORE_MISSING)) / 100, 0.01)
    reason = f"{missing:.2%} are missing now, up to {1 - mostly:.0%} are let pass"
    return _rule("column_values_to_not_be_null", reason, "warning", column=name, mostly=mostly)


def _of_text(name: str, known: pa.ChunkedArray, distinct: int) -> Iterator[SuggestedRule]:
    pc, rows = compute(), len(known)
    if distinct == rows and rows >= FEWEST_ROWS:
        yield _rule("column_values_to_be_unique", f"{rows} values, each once", column=name)
    if distinct <= VALUES and rows >= ROWS_OF_A_VALUE * distinct:
        values = sorted(pc.unique(known).to_pylist())
        if max(map(len, values)) <= VALUE_LENGTH:
            reason = f"{distinct} values in {rows} rows"
            yield _rule("column_values_to_be_in_set", reason, column=name, value_set=values)
            return
    if doubt := look_at(known)[1]:
        reason = f"nearly all are numbers: {doubt}"
        yield _rule("column_values_to_match_regex", reason, "warning", column=name, regex=NUMBER)
    elif pattern := _pattern(pc.unique(known).to_pylist()):
        reason = f"all {distinct} values are written so"
        yield _rule("column_values_to_match_regex", reason, column=name, regex=pattern)


def _pattern(values: Sequence[str]) -> str:
    """How all values are written: the text they begin with, then digits or capitals; nothing if they differ."""
    start = values[0]
    for value in values:
        while not value.startswith(start):
            start = start[:-1]
    start = start.rstrip("0123456789")
    rests = [value[len(start) :] for value in values]
    lengths = sorted({len(rest) for rest in rests})
    if not lengths or not lengths[0]:
        return ""
    kinds = {r"\d": str.isdecimal, "[A-Z]": _is_capitals}
    kind = next((kind for kind, fits in kinds.items() if all(rest.isascii() and fits(rest) for rest in rests)), "")
    if not kind:
        return ""
    count = f"{{{lengths[0]}}}" if len(lengths) == 1 else "+"
    return f"^{re.escape(start)}{kind}{count}$"


def _is_capitals(text: str) -> bool:
    return text.isalpha() and text.isupper()


def _of_numbers(name: str, known: pa.ChunkedArray, distinct: int) -> Iterator[SuggestedRule]:
    import pyarrow as pa

    pc, rows, whole = compute(), len(known), pa.types.is_integer(known.type)
    limits = pc.min_max(known).as_py()
    low, high = limits["min"], limits["max"]
    if whole and distinct == rows and NAMES_ROWS.search(name):
        yield _rule("column_values_to_be_unique", f"{rows} values, each once, and its name", column=name)
        return
    if not (math.isfinite(low) and math.isfinite(high)) or max(abs(low), abs(high)) > EXACT / 2:
        return
    values = pc.unique(known).to_pylist() if distinct <= WHOLE_VALUES else []
    if values and all(float(value).is_integer() for value in values) and rows >= 2 * ROWS_OF_A_VALUE * distinct:
        listed = sorted(int(value) for value in values)
        yield _rule("column_values_to_be_in_set", f"{distinct} values in {rows} rows", column=name, value_set=listed)
        return
    least, most = _bounds(low, high, whole)
    reason = f"seen: {low:.6g} to {high:.6g}" + (", none is negative" if least == 0 else "")
    yield _rule("column_values_to_be_between", reason, column=name, min_value=least, max_value=most)


def _bounds(low: float, high: float, whole: bool) -> tuple[float, float]:
    """Beyond what was seen, but not below zero where nothing is, nor beyond shares."""
    if low >= 0 and high <= 1 and not whole:
        return 0, 1
    room = MARGIN * (high - low) or MARGIN * abs(high) or 1.0
    digits = 0 if whole else max(0, 2 - math.floor(math.log10(room)))
    scale = 10**digits
    least = 0.0 if low >= 0 else math.floor((low - room) * scale) / scale
    most = 0.0 if high <= 0 else math.ceil((high + room) * scale) / scale
    return (int(least), int(most)) if whole else (least, most)


def _of_times(table: pa.Table, names: Sequence[str]) -> Iterator[SuggestedRule]:
    """Pairs of times of which one never comes first."""
    import pyarrow as pa

    pc = compute()
    times = [name for name in names if pa.types.is_timestamp(table.schema.field(name).type)][:TIMES]
    for later in times:
        for earlier in times:
            if later == earlier or table.schema.field(later).type != table.schema.field(earlier).type:
                continue
            after = pc.greater_equal(table.column(later), table.column(earlier)).drop_null()
            same = pc.equal(table.column(later), table.column(earlier)).drop_null()
            if len(after) >= FEWEST_ROWS and pc.all(after).as_py() and not pc.all(same).as_py():
                yield _rule(
                    "column_pair_values_a_to_be_greater_than_b",
                    f"never before {earlier} in {len(after)} rows with both",
                    column_A=later, column_B=earlier, or_equal=True, ignore_row_if="either_value_is_missing",
                )  # fmt: skip
