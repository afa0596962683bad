"""Validation: ten common rules over a million rows of twenty columns, beside Great Expectations at its best.

At its best: it is imported before, given only the columns that the rules name, and asked once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_mcp.config.load import load
from mlops_mcp.tools.data.store import Dataset, resolve, save
from mlops_mcp.tools.quality import client
from mlops_mcp.tools.quality.engine import judged
from mlops_mcp.tools.quality.library import Engine, by_library
from mlops_mcp.tools.quality.models import Expectation, RuleResult
from mlops_mcp.tools.quality.subject import subject_of
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

from .case import Case, Outcome, in_turn

ROWS = 1_000_000
CITIES = ["Basel", "Genève", "Zürich", "Bern"]


def _table() -> pa.Table:
    random, columns = np.random.default_rng(0), dict[str, Any]()
    columns["id"] = np.arange(ROWS)
    columns["code"] = [f"A{number:07d}" for number in range(ROWS)]
    columns["city"] = np.array(CITIES)[random.integers(0, len(CITIES), ROWS)]
    columns["age"] = random.integers(18, 90, ROWS)
    columns["target"] = random.integers(0, 2, ROWS)
    for number in range(15):
        values = random.normal(size=ROWS)
        values[random.random(ROWS) < 0.01] = np.nan
        columns[f"x{number}"] = values
    return pa.table(columns)


def _rule(kind: str, **kwargs: Any) -> Expectation:
    return Expectation(type=f"expect_{kind}", kwargs=kwargs)


KEPT = [
    _rule("column_values_to_not_be_null", column="id"),
    _rule("column_values_to_be_unique", column="id"),
    _rule("column_values_to_be_between", column="age", min_value=18, max_value=90),
    _rule("column_values_to_be_in_set", column="target", value_set=[0, 1]),
    _rule("column_values_to_not_be_null", column="x0", mostly=0.9),
    _rule("column_values_to_be_between", column="x1", min_value=-9, max_value=9),
    _rule("column_mean_to_be_between", column="x2", min_value=-1, max_value=1),
    _rule("column_max_to_be_between", column="x3", max_value=9),
    _rule("column_values_to_be_of_type", column="age", type_="int64"),
    _rule("table_row_count_to_be_between", min_value=1),
]
BROKEN = [
    *KEPT[:2],
    _rule("column_values_to_be_between", column="age", min_value=30, max_value=80),
    _rule("column_values_to_be_in_set", column="target", value_set=[1]),
    _rule("column_values_to_not_be_null", column="x0"),
    _rule("column_values_to_be_between", column="x1", min_value=-1, max_value=1),
    *KEPT[6:],
]
OF_TEXT = [
    _rule("column_values_to_be_unique", column="code"),
    _rule("column_values_to_match_regex", column="code", regex=r"^A\d{7}$"),
    _rule("column_values_to_be_in_set", column="city", value_set=CITIES),
    _rule("column_values_to_not_be_null", column="city"),
    _rule("compound_columns_to_be_unique", column_list=["code", "city"]),
    *KEPT[1:6],
]


def _run(rules: Sequence[Expectation], folder: Path) -> Outcome:
    work = Work(load({"MLOPS_HOME": str(folder)}).settings, Tracer(lambda _: None))
    source = save(work, _table(), "rows", [], "benchmark")
    suite = client.create_suite(work, "rules", list(rules)).suite
    work.once(Engine)
    answers = dict[str, list[RuleResult]]()

    def ours() -> None:
        answers["ours"] = client.validate_dataset(work, source.handle, suite, "", [], "full").results

    def library() -> None:
        answers["library"] = _by_library(work, resolve(work, source.handle), rules)

    took = in_turn(ours, library)
    return Outcome(*took, answers["ours"] == answers["library"])


def _by_library(work: Work, source: Dataset, rules: Sequence[Expectation]) -> list[RuleResult]:
    with subject_of(work, source, rules, []) as subject:
        found = by_library(work.once(Engine), subject, dict(enumerate(rules)), False)
        return [judged(subject, place, rule, found[place]).result for place, rule in enumerate(rules)]


SUITES = {"all pass": KEPT, "a few fail": BROKEN, "of text": OF_TEXT}
CASES = [
    Case(f"rules {name}", "validate 1e6 x 20 by 10 rules", "Great Expectations", "1.0 s", partial(_run, rules))
    for name, rules in SUITES.items()
]
