"""What drifted: planted changes are found and named, what is the same is called so, and chance is not called drift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_mcp.tools.data import drift
from mlops_mcp.tools.data.comparison import compare_datasets
from mlops_mcp.tools.data.far import far_columns
from mlops_mcp.tools.data.models import ColumnDrift, CompareRequest, DatasetComparison
from mlops_mcp.tools.data.pairs import pair
from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.data.twosample import told_apart
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.runtime.work import Work

Compare = Callable[..., DatasetComparison]
TOKENS = 1500


def table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


@pytest.fixture
def compare(work: Work) -> Compare:
    def run(reference: pd.DataFrame, current: pd.DataFrame, **options: Any) -> DatasetComparison:
        handles = [
            save(work, table(frame), name, [], "test").handle
            for name, frame in (("reference", reference), ("current", current))
        ]
        return compare_datasets(work, CompareRequest(reference=handles[0], current=handles[1], **options))

    return run


def people(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": [f"p{seed}-{row}" for row in range(rows)],
            "seen": pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 90, rows), unit="D"),
            "income": random.lognormal(10, 0.4, rows),
            "age": random.normal(50, 12, rows),
            "visits": random.poisson(20, rows),
            "temperature": random.normal(20, 3, rows),
            "dose": random.normal(5, 1, rows),
            "region": random.choice(list("ABC"), rows),
            "smoker": random.random(rows) < 0.3,
        }
    )


def column(found: DatasetComparison, name: str) -> ColumnDrift:
    return next(item for item in found.columns if item.column == name)


def test_one_call_says_what_drifted_and_by_what_change(compare: Compare) -> None:
    current = people(1500, 6)
    current["income"] *= 1000
    current["temperature"] = current.temperature * 1.8 + 32
    current["visits"] += 7
    current["region"] = current.region.replace("A", "D")
    current.loc[:300, "dose"] = np.nan
    current["seen"] += pd.Timedelta(days=200)
    found = compare(people(2000, 1), current)
    assert found.verdict == "drifted"
    drifted = {item.column for item in found.columns if item.verdict == "drifted"}
    assert drifted == {"income", "temperature", "visits", "region", "dose"}
    changes = {name: column(found, name).change for name in ("income", "temperature", "visits", "dose")}
    assert changes == {
        "income": "current ≈ reference x 1000",
        "temperature": "current ≈ reference x 1.8 + 32",
        "visits": "current ≈ reference + 7",
        "dose": None,
    }
    assert (column(found, "region").gained, column(found, "region").lost) is not None
    assert set(column(found, "region").gained or {}) == {"D"}
    assert column(found, "dose").test == "missing"
    assert found.two_sample.value == pytest.approx(1, abs=0.01)
    assert len(found.model_dump_json()) / 4 < TOKENS


def test_a_change_of_every_row_is_exact_where_a_key_says_which_rows_are_the_same(compare: Compare) -> None:
    reference = people(400, 1)
    current = reference.sample(frac=1, random_state=0).assign(age=lambda frame: frame.age + 5)
    current["dose"] = current.dose.where(np.arange(400) >= 3, 0.0)
    found = compare(reference, current, key="id")
    assert column(found, "age").change == "current = reference + 5, in each of 400 shared keys"
    assert {item.column: item.changed for item in found.columns if item.changed} == {"age": 400, "dose": 3}
    assert found.shared is not None
    assert found.shared.keys == 400


def test_the_same_rows_in_another_order_are_the_same(compare: Compare) -> None:
    found = compare(people(200, 1), people(200, 1).sample(frac=1, random_state=1))
    assert (found.verdict, found.drifted, found.notes) == ("same", 0, [])
    assert found.two_sample.verdict == "not_evaluated"


def test_another_sample_of_one_population_has_not_drifted(compare: Compare) -> None:
    found = compare(people(1000, 3), people(800, 4))
    assert (found.verdict, found.drifted, found.notes) == ("not_shown", 0, [])
    assert found.two_sample.interval is not None
    assert found.two_sample.interval[0] < 0.5 < found.two_sample.interval[1]


def test_columns_that_only_go_together_otherwise_are_told_apart_by_the_classifier(compare: Compare) -> None:
    random = np.random.default_rng(0)
    one, two = random.normal(size=(2, 800))
    found = compare(pd.DataFrame({"a": one, "b": -one}), pd.DataFrame({"a": two, "b": two}))
    assert (found.verdict, found.drifted, found.two_sample.verdict) == ("drifted", 0, "drifted")
    assert found.notes == ["no column drifted alone, but columns differ in how they go together"]


def test_rows_in_both_are_counted_as_a_join_counts_them_and_do_not_mislead_the_classifier(compare: Compare) -> None:
    reference, target = people(600, 1), np.random.default_rng(0).integers(0, 2, 600)
    reference["y"] = target
    copied = reference.head(200).assign(id=[f"copy-{row}" for row in range(200)])
    copied.loc[:49, "y"] = 1 - copied.y
    current = pd.concat([copied, people(300, 2).assign(y=1)])
    found = compare(reference, current, target="y", columns=[name for name in reference if name != "smoker"])
    assert found.shared is not None
    assert (found.shared.rows, found.shared.alike, found.shared.conflicting) == (0, 200, 50)
    assert found.two_sample.value is not None
    assert found.two_sample.value > 0.4
    said = "200 of 500 rows of the current (40%) are in the reference as well, 50 of them with another target"
    assert said in found.notes


ROWS = pd.DataFrame({"x": np.arange(40.0) % 7, "c": list("ab") * 20})
UGLY: dict[str, tuple[pd.DataFrame, pd.DataFrame, str]] = {
    "empty": (ROWS, ROWS.head(0), "not_evaluated"),
    "one row": (ROWS, ROWS.head(1), "not_evaluated"),
    "both empty": (ROWS.head(0), ROWS.head(0), "not_evaluated"),
    "all missing": (ROWS[["x"]], ROWS[["x"]] * np.nan, "drifted"),
    "missing in both": (ROWS[["x"]] * np.nan, ROWS[["x"]].head(20) * np.nan, "not_evaluated"),
    "constant": (ROWS.assign(x=1, c="a"), ROWS.assign(x=1, c="a").head(30), "not_evaluated"),
    "another constant": (ROWS.assign(x=1), ROWS.assign(x=2), "drifted"),
    "no column in common": (ROWS[["x"]], ROWS[["c"]], "not_evaluated"),
    "whole and real": (ROWS.assign(x=ROWS.x.astype(int)), ROWS, "same"),
    "numbers as text": (ROWS, ROWS.assign(x=ROWS.x.astype(str)), "same"),
    "one odd cell": (ROWS, ROWS.assign(x=[*ROWS.x.astype(str)[:-1], "?"]), "not_shown"),
    "booleans as numbers": (ROWS.assign(x=ROWS.x > 3), ROWS.assign(x=(ROWS.x > 3).astype(int)), "same"),
    "text against times": (ROWS[["c"]], ROWS.assign(c=pd.Timestamp("2024-01-01"))[["c"]], "not_evaluated"),
    "infinite": (ROWS, ROWS.assign(x=np.inf), "drifted"),
    "lists": (pd.DataFrame({"v": [[1]] * 40}), pd.DataFrame({"v": [[1]] * 40}), "not_evaluated"),
    "names": (ROWS.rename(columns={"x": "Größe (cm)"}), ROWS.rename(columns={"x": "größe (CM)"}), "same"),
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("case", UGLY)
def test_awkward_data_is_compared_as_far_as_it_can_be(compare: Compare, case: str) -> None:
    reference, current, verdict = UGLY[case]
    found = compare(reference, current)
    assert found.verdict == verdict
    assert DatasetComparison.model_validate_json(found.model_dump_json()).rows == (len(reference), len(current))


def test_text_of_numbers_is_compared_as_numbers_and_said(compare: Compare) -> None:
    found = compare(*UGLY["one odd cell"][:2])
    assert found.retyped == {"x": "double -> string"}
    assert column(found, "x").reason == "text in one dataset, compared as numbers; 1 cells are no numbers"


def test_a_column_under_another_spelling_is_pointed_at(compare: Compare) -> None:
    found = compare(*UGLY["names"][:2])
    assert found.notes == ["maybe one column under two names: Größe (cm) / größe (CM)"]


def test_rows_that_belong_together_are_said_to_make_p_too_small(compare: Compare) -> None:
    random = np.random.default_rng(0)
    customers = pd.DataFrame({"customer": np.repeat(np.arange(100), 5), "x": random.normal(size=500)})
    customers["city"] = random.choice(list("abcdefgh"), 100).repeat(5)
    found = compare(customers, customers.assign(x=random.normal(size=500)))
    assert any(note.startswith("rows of one customer belong together") for note in found.notes)


def test_many_drifted_columns_stay_within_the_answer_and_are_named(compare: Compare) -> None:
    random = np.random.default_rng(0)
    reference = pd.DataFrame(random.normal(size=(60, 120)), columns=[f"column_{number}" for number in range(120)])
    found = compare(reference, reference + 3 * random.random(120) + 1)
    assert found.drifted > 100
    assert len(found.model_dump_json()) / 4 < TOKENS
    assert any(note.startswith("drifted as well: ") for note in found.notes)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"columns": ["agee"]}, "Did you mean age"), ({"key": "none"}, "unknown key"), ({"target": "z"}, "unknown col")],
)
def test_an_unknown_column_is_refused(compare: Compare, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolFailure, match=said):
        compare(people(20, 1), people(20, 2), **options)


def test_a_model_stands_for_the_rows_it_was_fitted_on(work: Work) -> None:
    trained, scored, current = (
        save(work, table(people(60, seed)), f"d{seed}", [], "test").handle for seed in (1, 2, 3)
    )
    lineage, logged = Lineage(work.home), f"models:/m-{'0' * 32}"
    lineage.record(scored, [trained], "split_dataset")
    lineage.record(logged, [trained, "run:1"], "train_model")
    lineage.record("model:loans/1", [f"models:/m-{'1' * 32}"], "register_model")
    lineage.record("model:loans/2", [logged], "register_model")
    for name in (logged, "model:loans/2", "model:loans"):
        found = compare_datasets(work, CompareRequest(reference=name, current=current))
        assert found.reference == trained
        assert found.notes[0].startswith(f"{trained} is the training data of ")
    with pytest.raises(ToolFailure, match="training data of model:loans/1 is not known"):
        compare_datasets(work, CompareRequest(reference="model:loans/1", current=current))
    with pytest.raises(ToolFailure, match="is an alias"):
        compare_datasets(work, CompareRequest(reference="model:loans@champion", current=current))


# The tests of columns, against the plain library


def p_values_of(one: Any, two: Any) -> drift.Tested:
    return drift.tested(pair("x", pa.chunked_array([pa.array(one)]), pa.chunked_array([pa.array(two)])), 1)


def test_the_p_values_are_those_of_scipy_where_nothing_ties() -> None:
    from scipy.stats import chi2_contingency, ks_2samp

    random = np.random.default_rng(1)
    one, two = random.normal(size=300), random.normal(0.2, 1, 200)
    plain: Any = ks_2samp(one, two)
    found = p_values_of(one, two)
    assert found.p_values["Kolmogorov-Smirnov"] == pytest.approx(plain.pvalue)
    assert found.distance == pytest.approx(plain.statistic)
    first, second = random.choice(list("abc"), 300), random.choice(list("abc"), 200, p=[0.5, 0.3, 0.2])
    crossed = pd.crosstab(np.repeat([0, 1], [300, 200]), np.concatenate([first, second]))
    expected: Any = chi2_contingency(crossed, correction=False)
    assert p_values_of(first, second).p_values["chi-square"] == pytest.approx(expected.pvalue)


def test_corrected_p_values_are_those_of_statsmodels(compare: Compare) -> None:
    from statsmodels.stats.multitest import multipletests

    random = np.random.default_rng(5)
    reference = pd.DataFrame(random.normal(size=(20, 6)), columns=list("abcdef"))
    current = pd.DataFrame(random.normal(size=(20, 6)) + np.arange(6) / 4, columns=list("abcdef"))
    raw = [next(iter(p_values_of(reference[name], current[name]).p_values.values())) for name in reference]
    corrected: Any = multipletests(raw, method="fdr_bh")[1]
    expected = dict(zip(reference, corrected, strict=True))
    found = compare(reference, current)
    assert {item.column: item.p for item in found.columns} == pytest.approx(expected)


def test_half_a_standard_deviation_is_shown_with_500_rows_among_twenty_columns() -> None:
    hits = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        found = p_values_of(random.normal(size=500), random.normal(0.5, 1, 500))
        hits += found.p_values["Kolmogorov-Smirnov"] < 0.05 / 20
    assert hits == 20


def population(random: np.random.Generator, rows: int) -> pa.Table:
    """Twenty columns: real, rounded and whole numbers, categories, rare ones, missing values."""
    weights = 1 / np.arange(1, 41)
    columns: dict[str, Any] = {f"real{number}": random.normal(size=rows) for number in range(5)}
    columns |= {f"tied{number}": np.round(random.exponential(size=rows), 1) for number in range(3)}
    columns |= {f"whole{number}": random.poisson(3 + 10 * number, rows) for number in range(3)}
    columns |= {f"class{number}": random.choice(list("abcdefgh")[: 2 + number], rows) for number in range(4)}
    columns["rare"] = random.choice([f"v{place}" for place in range(40)], rows, p=weights / weights.sum())
    columns["yes"] = random.random(rows) < 0.1
    for number in range(3):
        columns[f"holes{number}"] = np.where(random.random(rows) < 0.1 * (number + 1), np.nan, random.normal(size=rows))
    return table(pd.DataFrame(columns))


@pytest.mark.slow
@pytest.mark.parametrize(("one", "two"), [(100, 100), (400, 150)])
def test_of_200_comparisons_of_one_population_about_five_in_a_hundred_are_called_drift(one: int, two: int) -> None:
    from scipy.stats import false_discovery_control

    alarms = 0
    for seed in range(200):
        random = np.random.default_rng([seed, one])
        first, second = population(random, one), population(random, two)
        items = [drift.tested(pair(name, first.column(name), second.column(name)), 1) for name in first.column_names]
        alarms += (false_discovery_control([p for item in items for p in item.p_values.values()]) <= 0.05).any()
    # Of few rows the tests have few values to take, and keep below their level.
    assert 0.02 <= alarms / 200 <= 0.07


@pytest.mark.slow
def test_the_classifier_and_all_tests_together_hold_their_level() -> None:
    from scipy.stats import false_discovery_control

    p_values = list[tuple[float, float]]()
    for seed in range(120):
        random = np.random.default_rng(seed)
        tables = [table(pd.DataFrame(random.normal(size=(60, 3)), columns=list("abc"))) for _ in range(2)]
        pairs = [pair(name, *(each.column(name) for each in tables)) for name in "abc"]
        apart = told_apart(tables[0].to_pandas(), tables[1].to_pandas(), pairs, np.arange(120), 0).p_value or 0.0
        every = [apart, *(p for item in pairs for p in drift.tested(item, 1).p_values.values())]
        p_values.append((apart, min(false_discovery_control(every))))
    alone, together = (np.array(p_values) <= 0.05).mean(axis=0)
    assert alone <= 0.08
    assert 0.02 <= together <= 0.07


def test_far_columns_are_those_of_scipy_and_missing_values_count_as_they_are_missing() -> None:
    from scipy.stats import ks_2samp

    random = np.random.default_rng(0)
    one = pd.DataFrame({"n": random.normal(size=400), "k": ["u", "v"] * 200, "m": np.arange(400.0), "same": 1.0})
    two = one.head(200).assign(n=random.normal(1, 1, 200), k=["u"] * 150 + ["v"] * 50)
    two["m"] = np.where(np.arange(200) < 100, np.nan, random.choice(one["m"], 200))
    kinds: dict[str, Any] = {"n": "number", "k": "category", "m": "number", "same": "number"}
    found = {each.column: each.distance for each in far_columns(one, two, kinds, 0.2, 0.01)}
    plain: Any = ks_2samp(one["n"], two["n"])
    assert found == pytest.approx({"n": plain.statistic, "k": 0.25, "m": 0.5})
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert [each.column for each in far_columns(one, two, kinds, 0.2, 0.01, independent=10)] == ["m"]
    assert [each.column for each in far_columns(one, two, kinds, 0.3, 0.01)] == ["m", "n"]
