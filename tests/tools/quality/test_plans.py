"""Rules that DuckDB evaluates: what they find is what Great Expectations finds in the same rows, to the last word."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mlops_mcp.tools.data.models import DatasetInfo
from mlops_mcp.tools.data.store import Dataset
from mlops_mcp.tools.quality.engine import judged
from mlops_mcp.tools.quality.forms import FORMS, form_of
from mlops_mcp.tools.quality.library import Engine, by_library
from mlops_mcp.tools.quality.models import Condition, Expectation
from mlops_mcp.tools.quality.obstacles import obstacle
from mlops_mcp.tools.quality.plans import planned
from mlops_mcp.tools.quality.regexes import for_re2
from mlops_mcp.tools.quality.rules import fields_of
from mlops_mcp.tools.quality.subject import subject_of
from mlops_mcp.tools.runtime.work import Work

pytestmark = pytest.mark.filterwarnings("ignore")
# Names that SQL would take for others, for its own words, or for its end.
WHOLE, OTHER, LARGE, REAL, TEXT, WORD, TIME, ZONED, FLAG = "n", "c0", "m", "N", 'a"b', "x.y", "ж';--", "select", "\\"
NUMBERS, TIMES = (WHOLE, OTHER, REAL, LARGE), (TIME, ZONED)
COLUMNS = (*NUMBERS, TEXT, WORD, *TIMES, FLAG)
REGEXES = (r"^a", r"a$", r"^[a-c]{1,2}$", r"\d", r"^\w*$", r"(?:a|b)+\s?$", ".b", "^$", "[^a]", r"a\Z", "é", r"a|^b$")
MOMENTS = [
    datetime(2024, 1, day, hour, 0, 0, part) for day, hour, part in ((1, 0, 0), (1, 0, 1), (2, 12, 0), (9, 0, 5))
]
BOUNDS = ("2024-01-01", "2024-01-01T00:00:00", "2024-01-02T12:00:00", "2024-01-05T00:00:00.5")


def gappy(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values, values)


whole = st.integers(-2, 4)
real = st.sampled_from([0.0, -0.0, 0.1, 0.5, 1.0, 2.0, 3.0, 1e300, float("nan"), float("inf"), float("-inf")])
large = st.sampled_from([1, 2**53, 2**53 + 1, 2**60, 2**60 + 1, -(2**62)])
text = st.one_of(
    st.sampled_from(["a", "b", "ab", "a\n", "2024-01-01", "2024-01-02T00:00:00"]), st.text("ab1 _é٣\n\0", max_size=3)
)
VALUES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    WHOLE: (pa.int64(), whole),
    OTHER: (pa.int32(), gappy(whole)),
    LARGE: (pa.int64(), gappy(large)),
    REAL: (pa.float64(), gappy(real)),
    TEXT: (pa.string(), gappy(text)),
    WORD: (pa.string(), text),
    TIME: (pa.timestamp("us"), gappy(st.sampled_from(MOMENTS))),
    ZONED: (pa.timestamp("us", "UTC"), gappy(st.sampled_from([moment.replace(tzinfo=UTC) for moment in MOMENTS]))),
    FLAG: (pa.bool_(), gappy(st.booleans())),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(1, 9))
    return pa.table(
        {
            name: pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind)
            for name, (kind, values) in VALUES.items()
        }
    )


@st.composite
def bounds(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> dict[str, Any]:
    ends = sorted(draw(st.lists(values, min_size=1, max_size=2)))
    names = ["min_value", "max_value"] if len(ends) == 2 else [draw(st.sampled_from(["min_value", "max_value"]))]
    strict = draw(st.fixed_dictionaries({}, optional={"strict_min": st.booleans(), "strict_max": st.booleans()}))
    return dict(zip(names, ends, strict=True)) | strict


numbers = st.one_of(st.integers(-2, 5), st.sampled_from([0.5, 1.0, 2.5, 1e300]))
mostly = st.fixed_dictionaries({}, optional={"mostly": st.sampled_from([0.3, 0.5, 2 / 3, 0.9, 1])})


def kwargs_of(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """What a rule of this type may be given; its columns fit it mostly."""
    one = st.fixed_dictionaries({"column": st.sampled_from(COLUMNS)})
    texts = st.fixed_dictionaries({"column": st.sampled_from([TEXT, WORD])})
    quantities = st.fixed_dictionaries({"column": st.sampled_from(NUMBERS)})
    several = st.lists(st.sampled_from(COLUMNS), min_size=2, max_size=3, unique=True)
    ignored = {
        "column_list": ["all_values_are_missing", "any_value_is_missing", "never"],
        "pair": ["both_values_are_missing", "either_value_is_missing", "neither"],
    }
    pairs = st.sampled_from([(WHOLE, OTHER), (REAL, WHOLE), (TIME, TIME), (TEXT, WORD), (OTHER, REAL), (ZONED, TIME)])
    types = st.sampled_from(["str", "int64", "int32", "float64"])
    sets = st.one_of(
        st.tuples(texts, st.lists(text.filter(lambda item: "\0" not in item and item != ""), min_size=1, max_size=4)),
        st.tuples(quantities, st.lists(numbers, min_size=1, max_size=4)),
    )
    special: dict[str, st.SearchStrategy[Any]] = {
        "expect_column_to_exist": st.fixed_dictionaries({"column": st.sampled_from([WHOLE, "nowhere"])}),
        "expect_table_columns_to_match_set": st.fixed_dictionaries(
            {"column_set": st.sampled_from([[WHOLE], list(COLUMNS), [WHOLE, "nowhere"]])},
            optional={"exact_match": st.booleans()},
        ),
        "expect_table_row_count_to_equal": st.fixed_dictionaries({"value": st.integers(1, 5)}),
        "expect_table_row_count_to_be_between": bounds(st.integers(0, 9)),
        "expect_column_values_to_be_between": st.one_of(
            joined(quantities, bounds(numbers), mostly),
            joined(st.fixed_dictionaries({"column": st.sampled_from(TIMES)}), bounds(st.sampled_from(BOUNDS)), mostly),
        ),
        **dict.fromkeys(
            ("expect_column_values_to_be_in_set", "expect_column_values_to_not_be_in_set"),
            joined(sets.map(lambda found: found[0] | {"value_set": found[1]}), mostly),
        ),
        **dict.fromkeys(
            ("expect_column_values_to_match_regex", "expect_column_values_to_not_match_regex"),
            joined(texts, st.fixed_dictionaries({"regex": st.sampled_from(REGEXES)}), mostly),
        ),
        "expect_column_values_to_be_of_type": joined(one, st.fixed_dictionaries({"type_": types})),
        "expect_column_values_to_be_in_type_list": joined(
            one, st.fixed_dictionaries({"type_list": st.lists(types, min_size=1, max_size=2)})
        ),
        "expect_compound_columns_to_be_unique": joined(
            st.fixed_dictionaries(
                {"column_list": several}, optional={"ignore_row_if": st.sampled_from(ignored["column_list"])}
            ),
            mostly,
        ),
        "expect_column_pair_values_a_to_be_greater_than_b": joined(
            pairs.map(lambda pair: {"column_A": pair[0], "column_B": pair[1]}),
            st.fixed_dictionaries(
                {}, optional={"or_equal": st.booleans(), "ignore_row_if": st.sampled_from(ignored["pair"])}
            ),
            mostly,
        ),
    }
    if kind in special:
        return special[kind]
    about_rows = kind.startswith("expect_column_values")
    return joined(one, mostly) if about_rows else joined(quantities, bounds(numbers))


def joined(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {name: value for part in found for name, value in part.items()})


def rule_of(kind: str) -> st.SearchStrategy[Expectation]:
    return kwargs_of(kind).map(lambda kwargs: Expectation(type=kind, kwargs=kwargs))


one_of_each = st.tuples(*map(rule_of, FORMS)).map(list)
conditions = st.sampled_from([[], [], [Condition(column=WHOLE, operator=">=", value=0)]])
UNHURRIED = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # each step of shrinking would run the library
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def test_what_duckdb_finds_is_what_great_expectations_finds_for_every_type_of_rule(work: Work, tmp_path: Path) -> None:
    seen, path = set[tuple[str, str]](), tmp_path / "rows.parquet"

    @UNHURRIED
    @given(tables(), one_of_each, conditions, st.booleans())
    def compare(table: pa.Table, listed: list[Expectation], chosen: list[Condition], complete: bool) -> None:
        pq.write_table(table, path, row_group_size=4)
        info = DatasetInfo(
            dataset="dataset:a@0", rows=table.num_rows, columns=table.column_names, source="test", created=""
        )
        with subject_of(work, Dataset(info, path), listed, chosen) as subject:
            waiting = {place: rule for place, rule in enumerate(listed) if not obstacle(subject, rule)}
            ours = planned(subject, waiting, complete)
            theirs = by_library(work.once(Engine), subject, {place: waiting[place] for place in ours}, complete)
            for place, found in ours.items():
                rule = waiting[place]
                assert (rule, judged(subject, place, rule, found)) == (
                    rule,
                    judged(subject, place, rule, theirs[place]),
                )
                seen.add((rule.type, judged(subject, place, rule, found).result.verdict))

    compare()
    assert set(FORMS) - {kind for kind, _ in seen} == set()
    assert {verdict for _, verdict in seen} == {"passed", "failed", "not_evaluated"}


def test_plain_forms_are_those_of_the_library() -> None:
    for kind, form in FORMS.items():
        fields = fields_of(kind)
        assert {name.rstrip("*") for name in form} <= set(fields), kind
        assert {name for name, needed in fields.items() if needed} <= {name.rstrip("*") for name in form if "*" in name}


@pytest.mark.parametrize(
    "kwargs",
    [
        {"column": "a", "min_value": 0, "strict_min": "yes"},
        {"column": "a", "min_value": None},
        {"column": "a", "min": 0},
        {"column": 5, "min_value": 0},
        {"min_value": 0},
        {"column": "a\0", "min_value": 0},
        {"column": "a", "min_value": "June"},
    ],
)
def test_a_rule_in_another_form_is_left_to_the_library(kwargs: dict[str, Any]) -> None:
    assert form_of(Expectation(type="expect_column_values_to_be_between", kwargs=kwargs)) is None


READ = [
    "a",
    "b1",
    " ",
    r"\d",
    r"\w",
    r"\s",
    r"\.",
    ".",
    "[ab]",
    "[^a-c1]",
    r"[\d-]",
    r"[\s_]",
    "(a|b)",
    "(?:1b)",
    "|",
    "&&",
]
LEFT = ["(", ")", "[", "]", "^", "$", r"\b", r"\Z", r"\1", r"\S", "(?i)", "(?=a)", "{", "}", "[[:alpha:]]", "[]a]"]
PARTS = st.one_of(*[st.sampled_from(READ)] * 5, st.sampled_from(LEFT))
TIMES_OF = st.sampled_from(
    ["", "", "", "", "", "", "*", "+", "?", "{2}", "{1,}", "{,2}", "{0,2}", "*?", "++", "?+", "{2}+"]
)
pattern_texts = st.tuples(
    st.sampled_from(["", "^"]),
    st.lists(st.tuples(PARTS, TIMES_OF).map("".join), max_size=4).map("".join),
    st.sampled_from(["", "$", r"\$", r"\\$"]),
).map("".join)


def test_a_pattern_means_the_same_to_re2_or_is_not_given_to_it() -> None:
    connection, used = duckdb.connect(), list[str]()

    @settings(UNHURRIED, max_examples=500, phases=list(Phase))
    @given(pattern_texts, st.lists(st.text("ab1c_ .-\n\r\x0b\x1c\x1f$\\é٣", max_size=4), min_size=1, max_size=8))
    def compare(written: str, texts: list[str]) -> None:
        try:
            pattern, python = for_re2(written), re.compile(written)
        except re.error:
            return
        if pattern is None:
            return
        used.append(written)
        asked = [item for item in texts if item.isascii() or not pattern.ascii]
        for item in asked:
            found = connection.execute("SELECT regexp_matches(?, ?)", [item, pattern.text]).fetchall()[0][0]
            assert (written, item, found) == (written, item, python.search(item) is not None)

    compare()
    assert len(set(used)) > 30
