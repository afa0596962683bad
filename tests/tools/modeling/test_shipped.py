"""Plain MLflow answers for the rows of a file what this server answers for them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import JsonValue

from mlops_mcp.config.load import load
from mlops_mcp.tools.modeling.algorithms import ALGORITHMS, algorithm, parameters
from mlops_mcp.tools.modeling.card import ModelCard
from mlops_mcp.tools.modeling.frame import choose_features, design
from mlops_mcp.tools.modeling.pipelines import fit, scores
from mlops_mcp.tools.modeling.store import find_model, load_pipeline, log_model
from mlops_mcp.tools.modeling.target import classes_of, encode
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking.client import start_run

from ...conftest import unable

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
ROOT = Path(__file__).parents[3]
COUNT = 80
CITIES = ("Bern", "Köln", None, "nan", "Oslo")


def rows(seed: int = 0) -> pd.DataFrame:
    """Whole numbers, with and without holes, floats, truth values and texts; what is text holds holes as well."""
    random = np.random.default_rng(seed)
    whole = random.integers(-5, 6, COUNT)
    frame = pd.DataFrame({"whole": whole, "float": random.normal(size=COUNT)})
    frame["holes"] = np.where(random.random(COUNT) < 0.3, np.nan, random.integers(0, 9, COUNT))
    frame["flag"] = random.random(COUNT) < 0.5
    frame["maybe"] = [(True, False, None)[pick] for pick in random.integers(0, 3, COUNT)]
    frame["city"] = [CITIES[pick] for pick in random.integers(0, 5, COUNT)]
    frame["size"] = random.choice(["s", "m", "l"], COUNT)
    frame["at"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(COUNT), "D")
    shifted = whole + 2 * frame["float"] + 3 * frame["city"].isna() + 2 * (frame["size"] == "s") + frame["flag"]
    labels = {"bought": np.where(shifted > 1, "yes", "no"), "over": (shifted > 1).astype(int), "above": shifted > 1}
    return frame.assign(score=shifted, rank=np.digitize(shifted, [-1, 2]) + 1, **labels)


# Of classification: texts, numbers, truth values, and more than two numbers.
TARGETS = ("bought", "over", "above", "rank")
# What is scored by the models that were trained on `rows()`.
FRAMES: Mapping[str, Any] = {
    "the training frame": lambda frame: frame,
    "other rows": lambda _: rows(1),
    "one row": lambda frame: frame.iloc[[3]],
    "no index from zero, out of order": lambda frame: frame.sample(frac=1, random_state=0),
    "columns out of order, one too many": lambda frame: frame[frame.columns[::-1]].assign(more=1),
    "holes in whole numbers": lambda frame: frame.assign(whole=frame["whole"].where(frame.index % 3 > 0)),
    "whole numbers for floats": lambda frame: frame.assign(float=frame["float"].round().astype(int)),
    "nullable types of pandas": lambda frame: frame.convert_dtypes(),
    "small types of numpy": lambda frame: frame.assign(
        whole=frame["whole"].astype("int8"), float=frame["float"].astype("float32"), flag=frame["flag"].astype("uint8")
    ),
    "categories of pandas": lambda frame: frame.astype({"city": "category", "size": "category"}),
    "unseen categories": lambda frame: frame.assign(city="Atlantis", size=["xl"] * len(frame)),
    "holes in truth values": lambda frame: frame.assign(flag=frame["flag"].astype(object).where(frame.index % 2 > 0)),
    "nothing is known": lambda frame: frame.assign(
        whole=None, float=np.nan, holes=np.nan, flag=None, maybe=None, city=None, size=None
    ),
    "NaN for a missing text": lambda frame: frame.assign(city=frame["city"].where(frame["city"].notna(), np.nan)),
    "from CSV": lambda frame: frame,
    "from Parquet": lambda frame: frame,
    "dates beside the features": lambda frame: frame.assign(
        at=frame["at"].dt.tz_localize("UTC"), day=frame["at"].dt.date
    ),
    "numbers as text": lambda frame: frame.assign(whole=frame["whole"].astype(str)),
}


@dataclass(frozen=True)
class Logged:
    """A model of ours, and the same one as MLflow alone loads it."""

    card: ModelCard
    pipeline: Any
    pyfunc: Any

    def ours(self, frame: pd.DataFrame) -> list[Any]:
        found = scores(self.pipeline, design(frame, self.card), self.card)
        return [self.card.classes[row.argmax()] for row in found] if self.card.classes else found.tolist()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Work, str]:
    """A state folder, and a run to log models into."""
    settings = load({"MLOPS_HOME": str(tmp_path_factory.mktemp("home"))}, {}).settings
    work = Work(settings, Tracer(lambda _: None))
    return work, start_run(work, "", "", {}).run.removeprefix("run:")


@pytest.fixture(scope="module")
def models(store: tuple[Work, str]) -> dict[str, Logged]:
    """An ordinal, a one-hot and a linear model, for text labels, numbered labels and a number."""
    every = (("bought", "XGBoost"), ("over", "LogisticRegression"), ("score", "Ridge"))
    return {target: logged(*store, target, algorithm) for target, algorithm in every}


def logged(work: Work, run: str, target: str, name: str) -> Logged:
    import mlflow

    frame = rows()
    task: Any = "regression" if target == "score" else "classification"
    features, _ = choose_features(frame, target, [], [each for each in (*TARGETS, "score", "at") if each != target])
    size: dict[str, JsonValue] = {
        each: 8 for each in ("n_estimators", "iterations", "max_iter") if each in parameters(algorithm(name), task)
    }
    card = ModelCard(
        algorithm=name, task=task, target=target, classes=classes_of(frame[target]) if task == "classification" else [],
        features=features, params=size, dataset="", rows=COUNT,
    )  # fmt: skip
    known = design(frame, card)
    uri = log_model(work, fit(card, known, encode(frame[target], card), 1), card, run, known.head())
    stored = find_model(work, uri)
    return Logged(stored.card, load_pipeline(stored), mlflow.pyfunc.load_model(uri))


def through(name: str, frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    if name == "from CSV":
        frame.to_csv(folder / "rows.csv", index=False)
        return pd.read_csv(folder / "rows.csv", keep_default_na=False, na_values=[""])
    if name == "from Parquet":
        frame.to_parquet(folder / "rows.parquet")
        return pd.read_parquet(folder / "rows.parquet")
    return frame


@pytest.mark.parametrize(
    ("name", "target"),
    [
        (entry.name, target)
        for entry in ALGORITHMS
        for task, targets in (("classification", TARGETS), ("regression", ("score",)))
        for target in targets
        if task in entry.estimators
    ],
)
def test_a_model_of_any_algorithm_and_target_predicts_any_frame_by_plain_mlflow(
    store: tuple[Work, str], name: str, target: str, tmp_path: Path
) -> None:
    if not algorithm(name).installed:
        unable(f"{algorithm(name).library} is missing")
    model = logged(*store, target, name)
    # Of each algorithm one target meets every frame.
    chosen = FRAMES if target in ("bought", "score") else ("other rows", "holes in whole numbers", "nothing is known")
    for frame in (through(each, FRAMES[each](rows()), tmp_path) for each in chosen):
        assert model.pyfunc.predict(frame).tolist() == model.ours(frame)
    assert model.pyfunc.predict(rows()).dtype.kind == rows()[target].to_numpy().dtype.kind.replace("O", "U")


@pytest.mark.parametrize("name", FRAMES)
def test_pyfunc_predicts_what_this_server_predicts(models: dict[str, Logged], name: str, tmp_path: Path) -> None:
    frame = through(name, FRAMES[name](rows()), tmp_path)
    for model in models.values():
        assert model.pyfunc.predict(frame).tolist() == model.ours(frame)


def test_the_labels_are_those_of_the_target(models: dict[str, Logged]) -> None:
    frame = rows()
    assert (models["bought"].pyfunc.predict(frame) == frame["bought"]).mean() > 0.8
    assert models["over"].pyfunc.predict(frame).dtype.kind == "i"


def test_the_signature_names_every_column_and_the_kind_of_answer(models: dict[str, Logged]) -> None:
    found = {target: model.pyfunc.metadata.signature for target, model in models.items()}
    assert found["bought"].inputs.input_names() == ["whole", "float", "holes", "flag", "maybe", "city", "size"]
    kinds = {target: signature.outputs.inputs[0].type.kind for target, signature in found.items()}
    assert kinds == {"bought": "U", "over": "i", "score": "f"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"float": "many"}, "must be a number"), ({"float": np.inf}, "infinite numbers")],
)
def test_what_is_no_number_is_refused(models: dict[str, Logged], changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        models["bought"].pyfunc.predict(rows().assign(**changed))


def test_a_missing_column_is_refused(models: dict[str, Logged]) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="city"):
        models["bought"].pyfunc.predict(rows().drop(columns="city"))


def test_the_code_beside_a_model_needs_nothing_of_this_package() -> None:
    tree = ast.parse((ROOT / "tools/modeling/shipped.py").read_text(encoding="utf-8"))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert [node.module for node in imported if node.level or (node.module or "").startswith("mlops_mcp")] == []
