"""Columns are followed by their place from the source to the encoder, and values by their text and range."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.modeling.card import Feature, Kind, ModelCard
from mlops_mcp.tools.modeling.columns import sources
from mlops_mcp.tools.modeling.frame import choose_features, design
from mlops_mcp.tools.modeling.inputs import seen_in, surprises
from mlops_mcp.tools.modeling.pipelines import fit, merged, onehot, rare_below, scores
from mlops_mcp.tools.modeling.shipped import canonical


def card(kinds: dict[str, Kind], rows: int, algorithm: str = "LogisticRegression") -> ModelCard:
    features = [Feature(name=name, kind=kind) for name, kind in kinds.items()]
    return ModelCard(
        algorithm=algorithm,
        task="classification",
        target="y",
        classes=[0, 1],
        features=features,
        dataset="d",
        rows=rows,
    )


def test_names_that_look_like_those_of_derived_columns_are_told_apart() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "home": draw.choice(["owner_age_young", "other"], 200),
            "region": draw.choice(["north", "south"], 200),
            "home_owner_age": draw.choice(["young", "old"], 200),
            "region_north": draw.choice([1.0, np.nan], 200),
            "missingindicator_region_north": draw.normal(size=200),
        }
    )
    kinds: dict[str, Kind] = dict.fromkeys(frame.columns, "category")
    kinds |= {"region_north": "number", "missingindicator_region_north": "number"}
    made = card(kinds, 200)
    encoder = onehot(made, scale=False).fit(design(frame, made))
    columns = encoder.transform(design(frame, made))
    found = sources(encoder, made)
    assert found == [3, 4, 3, 0, 0, 1, 1, 2, 2]
    for place, name in enumerate(frame.columns):
        changed = frame.assign(**{name: frame[name].sample(frac=1, random_state=1).to_numpy()})
        moved = (encoder.transform(design(changed, made)) != columns).any(axis=0)
        assert {found[index] for index in np.flatnonzero(moved)} == {place}


@pytest.mark.parametrize(("rows", "below"), [(75, 1), (150, 2), (500, 5), (2000, 20), (100_000, 20)])
def test_what_is_rare_depends_on_the_rows(rows: int, below: int) -> None:
    assert rare_below(rows) == below


def test_few_rows_of_each_category_are_enough_to_learn_from_them() -> None:
    kinds = np.repeat(list("abcde"), 15)
    frame, target = pd.DataFrame({"kind": kinds}), np.isin(kinds, ["a", "c"]).astype(int)
    made = card({"kind": "category"}, 75)
    model = fit(made, design(frame, made), target, 1)
    assert (scores(model, design(frame, made), made).argmax(1) == target).all()
    assert merged(model[0]) == {}


def test_levels_that_share_a_column_are_known() -> None:
    frame = pd.DataFrame({"kind": ["a"] * 500 + ["b"] * 490 + ["c"] * 6 + ["d"] * 4})
    made = card({"kind": "category"}, 1000)
    encoder = onehot(made, scale=False).fit(design(frame, made))
    assert merged(encoder) == {"kind": ["c", "d"]}
    assert sources(encoder, made) == [0, 0, 0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        ("1.0", "1"),
        ("1.50", "1.5"),
        (True, "true"),
        ("TRUE", "true"),
        ("01", "01"),
        ("1e5", "1e5"),
    ],
)
def test_a_value_has_one_text_whatever_its_type(value: object, text: str) -> None:
    assert canonical(value) == text


@pytest.mark.parametrize("levels", [["1", "2", "A"], ["1.0", "2.0", "A"]])
@pytest.mark.parametrize("later", [[1, 2, None], [1.0, 2.0, np.nan], ["1", "2.0", None]])
def test_a_category_of_another_type_is_the_level_it_was(levels: list[str], later: list[object]) -> None:
    made = card({"kind": "category"}, 3)
    made = made.model_copy(update={"seen": seen_in(design(pd.DataFrame({"kind": levels}), made), made)})
    found = design(pd.DataFrame({"kind": later}), made)
    assert found["kind"].tolist()[:2] == levels[:2]
    assert surprises(found, made) == ["kind is missing in 1 of 3 rows, and never was in training"]


def test_unseen_missing_and_far_values_are_counted() -> None:
    made = card({"kind": "category", "size": "number"}, 4)
    train = pd.DataFrame({"kind": ["a", "b", "a", None], "size": [1.0, 2, 3, 4]})
    made = made.model_copy(update={"seen": seen_in(design(train, made), made)})
    later = pd.DataFrame({"kind": ["a", "x", "y", None], "size": [0.5, 4, 5, None]})
    assert surprises(design(later, made), made) == [
        "kind holds values unseen in training in 2 of 4 rows, e.g. 'x', 'y'",
        "size is missing in 1 of 4 rows, and never was in training",
        "size is outside of 1 to 4 in 2 of 4 rows",
    ]
    assert surprises(design(train, made), made) == []
    assert "not known" in surprises(design(train, made), made.model_copy(update={"seen": {}}))[0]


def test_many_features_with_strange_values_are_named_in_few_words() -> None:
    made = card({f"x{number}": "number" for number in range(40)}, 2)
    train = pd.DataFrame({name: [0.0, 1.0] for name in made.names})
    made = made.model_copy(update={"seen": seen_in(train, made)})
    notes = surprises(train + 5, made)
    assert (len(notes), notes[-1]) == (9, "32 more such features")


def test_nothing_is_left_out_because_of_a_count_of_values_alone() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "income": draw.permutation(10_000)[:200],
            "flag": [1.0, None] * 100,
            "customer_id": draw.permutation(10_000)[:200],
            "row": np.arange(200),
            "price": [str(number) for number in draw.permutation(1000)[:195]] + ["?"] * 5,
            "y": [0, 1] * 100,
        }
    )
    features, notes = choose_features(frame, "y", [], [])
    assert [feature.name for feature in features] == ["income", "flag"]
    assert [note.partition(":")[0] for note in notes] == ["left out customer_id", "left out row", "left out price"]
    assert "195 of 200 are numbers (not '?')" in notes[2]
    assert all("name it in `features`" in note for note in notes)
    named, _ = choose_features(frame, "y", ["customer_id", "price"], [])
    assert [feature.kind for feature in named] == ["number", "category"]


def test_many_columns_that_are_left_out_are_named_in_few_words() -> None:
    frame = pd.DataFrame({f"same{number}": 1 for number in range(40)}, index=range(10)).assign(x=range(10), y=0)
    features, notes = choose_features(frame, "y", [], [])
    assert [feature.name for feature in features] == ["x"]
    assert (len(notes), notes[-1]) == (13, "left out 28 more such columns")
