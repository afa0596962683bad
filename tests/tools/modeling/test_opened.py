"""Model files from outside: what ours are made of is opened, everything else is refused before it acts."""

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.algorithms import ALGORITHMS, Algorithm
from mlops_mcp.tools.modeling.card import Feature, ModelCard, Task
from mlops_mcp.tools.modeling.opened import lightgbm_trees, ubjson, xgboost_trees
from mlops_mcp.tools.modeling.opened.admitted import ADMITTED
from mlops_mcp.tools.modeling.opened.indices import Damaged
from mlops_mcp.tools.modeling.opened.reading import read_model
from mlops_mcp.tools.modeling.pipelines import fit

ROWS = 240
NAMES = ("number", "other", "word")
# The options that put other classes into a file than the defaults do.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "HistGradientBoosting": [{"loss": name, "quantile": 0.4} for name in ("absolute_error", "quantile")]
    + [{"loss": name} for name in ("poisson", "gamma")],
    "XGBoost": [{"early_stopping_rounds": 3}, {"booster": "dart"}],
    "LightGBM": [{"early_stopping_rounds": 3}, {"linear_tree": True}],
}
SMALL = {
    "XGBoost": "n_estimators",
    "LightGBM": "n_estimators",
    "RandomForest": "n_estimators",
    "HistGradientBoosting": "max_iter",
}


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    number, other = rng.normal(size=(2, ROWS))
    found = pd.DataFrame({"number": number, "other": other, "word": rng.choice(["u", "v", "w"], ROWS)})
    found.loc[::17, "number"] = np.nan
    found.loc[::13, "word"] = np.nan
    return found


def fitted(name: str, task: Task = "regression", classes: int = 0, **params: Any) -> Any:
    rows = table()
    features = [Feature(name=each, kind="category" if each == "word" else "number") for each in NAMES]
    params = ({SMALL[name]: 8} if name in SMALL else {}) | params
    card = ModelCard(
        algorithm=name, task=task, target="y", classes=list(range(classes)), features=features, dataset="d", rows=ROWS,
        params=params,
    )  # fmt: skip
    level = rows["other"] + (rows["word"] == "u") + 0.5 * np.random.default_rng(1).normal(size=ROWS)
    target = np.exp(level) if not classes else np.digitize(level, [0, 0.9][: classes - 1])
    return fit(card, rows, np.asarray(target), 1)


def dumped(model: Any) -> bytes:
    import skops.io

    return skops.io.dumps(model)


def schema_of(content: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return json.loads(file.read("schema.json"))


def repacked(
    content: bytes, schema: dict[str, Any] | None = None, members: Mapping[str, bytes] = MappingProxyType({})
) -> bytes:
    """The file with another schema, or other members."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(made, "w") as file:
        for name in source.namelist():
            kept = members.get(name, source.read(name))
            file.writestr(name, json.dumps(schema) if schema and name == "schema.json" else kept)
    return made.getvalue()


def states(state: Any) -> Iterator[dict[str, Any]]:
    if isinstance(state, dict):
        if "__loader__" in state:
            yield state
        state = list(state.values())
    if isinstance(state, list):
        for value in state:
            yield from states(value)


def state_of(schema: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(each for each in states(schema) if each["__class__"] == kind and "content" in each)


def ours() -> Iterator[tuple[Algorithm, Any]]:
    for entry in ALGORITHMS:
        if entry.library in ("econml", "catboost"):
            continue
        for task in entry.estimators:
            for classes in (2, 3) if task == "classification" else (0,):
                yield entry, fitted(entry.name, task, classes)
        yield from ((entry, fitted(entry.name, **options)) for options in OPTIONS.get(entry.name, []))


@pytest.mark.slow
def test_the_closed_list_is_what_the_algorithms_of_the_product_need_and_all_of_them_come_back() -> None:
    needed: set[tuple[str, str]] = set()
    for entry, model in ours():
        content = dumped(model)
        needed |= {
            (each["__loader__"], f"{each['__module__']}.{each['__class__']}") for each in states(schema_of(content))
        }
        back = read_model(content, entry.name)
        assert np.array_equal(back.predict(table()), model.predict(table())), entry.name
    assert needed == ADMITTED


def readers(secret: str) -> list[Any]:
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
    from sklearn.pipeline import FeatureUnion, Pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    words = CountVectorizer(input="filename", analyzer="char").fit([secret])
    return [
        words,
        TfidfVectorizer(input="filename").fit([secret]),
        HashingVectorizer(input="filename"),
        Pipeline([("pre", words), ("model", StandardScaler())]),
        FeatureUnion([("a", StandardScaler())], n_jobs=12),
        FunctionTransformer(np.load),
        FunctionTransformer(pd.read_csv),
        Pipeline([("pre", StandardScaler())], memory=str(Path(secret).with_name("cache"))),
        FunctionTransformer(None, kw_args={"file": secret}),
    ]


def test_an_estimator_that_opens_files_or_calls_what_it_is_given_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("a harmless secret")
    for model in readers(str(secret)):
        with pytest.raises(ToolFailure, match=r"not trusted|of the file's own|a folder to write to"):
            read_model(dumped(model), "model")
    assert [each.name for each in tmp_path.iterdir()] == ["secret.txt"]


@pytest.mark.parametrize(
    "loader", ["ConstructorFromReduceNode", "TypeNode", "MethodNode", "OperatorFuncNode", "FunctionNode"]
)
@pytest.mark.parametrize("kind", ["xgboost.core.Booster", "pathlib.Path", "sklearn.pipeline.Pipeline"])
def test_no_node_of_a_file_calls_a_class_with_arguments_of_its_own(tmp_path: Path, loader: str, kind: str) -> None:
    content = dumped({"model": (str(tmp_path / "made"),)})
    schema = schema_of(content)
    module, _, name = kind.rpartition(".")
    inner = schema["content"]["model"]
    schema["content"]["model"] = {"__class__": name, "__module__": module, "__loader__": loader, "content": inner}
    with pytest.raises(ToolFailure, match="not trusted"):
        read_model(repacked(content, schema), "model")


def test_nothing_that_is_opened_starts_threads_or_processes() -> None:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(3, n_jobs=12).fit(table()[["other"]], table()["other"])
    assert read_model(dumped(forest), "model").n_jobs == 1


def test_an_attribute_in_the_place_of_a_method_is_refused() -> None:
    model = fitted("Ridge")
    model[-1].predict = 1.0
    with pytest.raises(ToolFailure, match="Ridge with another predict"):
        read_model(dumped(model), "model")


def array(values: Any) -> bytes:
    made = io.BytesIO()
    np.save(made, values, allow_pickle=False)
    return made.getvalue()


def with_nodes(content: bytes, owner: str, change: Callable[[Any], None]) -> bytes:
    """The file with changed nodes of the first tree of that class."""
    attributes = state_of(schema_of(content), owner)["content"]["content"]
    name = attributes["nodes"]["file"]
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        nodes = np.load(io.BytesIO(file.read(name)))
    change(nodes)
    return repacked(content, members={name: array(nodes)})


def set_to(field: str, value: int, row: int = 0) -> Callable[[Any], None]:
    def change(nodes: Any) -> None:
        nodes[field][row] = value

    return change


EDITED = [
    *(("RandomForest", "Tree", field, value) for field in ("left_child", "right_child") for value in (10**9, -7, 0)),
    *(("RandomForest", "Tree", "feature", value) for value in (10**9, -1000)),
    *(
        ("HistGradientBoosting", "TreePredictor", field, value)
        for field in ("left", "right")
        for value in (4 * 10**9, 0)
    ),
    *(("HistGradientBoosting", "TreePredictor", "feature_idx", value) for value in (10**9, -1000)),
    ("HistGradientBoosting", "TreePredictor", "is_categorical", 1),
]


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {name: dumped(fitted(name)) for name in ("RandomForest", "HistGradientBoosting", "XGBoost", "LightGBM")}


@pytest.mark.parametrize(("name", "owner", "field", "value"), EDITED)
def test_a_tree_of_scikit_learn_with_edited_indices_is_refused(
    files: dict[str, bytes], name: str, owner: str, field: str, value: int
) -> None:
    with pytest.raises(ToolFailure, match=r"out of range|two parents|no end|a column of numbers"):
        read_model(with_nodes(files[name], owner, set_to(field, value)), "model")


def test_a_tree_of_another_size_or_for_other_columns_is_refused(files: dict[str, bytes]) -> None:
    for kind, attribute, value in (
        ("DecisionTreeRegressor", "n_features_in_", 1),
        ("RandomForestRegressor", "n_features_in_", 1),
        ("Tree", "node_count", 10**6),
        ("HistGradientBoostingRegressor", "n_features_in_", 1),
    ):
        name = "HistGradientBoosting" if kind.startswith("Hist") else "RandomForest"
        schema = schema_of(files[name])
        owner = next(
            each for each in states(schema) if each["__class__"] == kind and attribute in str(each.get("content"))
        )
        owner["content"]["content"][attribute] |= {"content": str(value), "__id__": 1}
        with pytest.raises(ToolFailure, match=r"other columns|another size|out of range"):
            read_model(repacked(files[name], schema), "model")


def booster_of(name: str, **params: Any) -> Any:
    return fitted(name, **params)[-1]


def xgboost_json(tmp_path: Path, **params: Any) -> dict[str, Any]:
    booster_of("XGBoost", **params).save_model(tmp_path / "model.json")
    return json.loads((tmp_path / "model.json").read_text())


def trees_of(model: dict[str, Any]) -> dict[str, Any]:
    return model["learner"]["gradient_booster"]["model"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left_children", 10**8), ("left_children", 0), ("right_children", -5), ("split_indices", 10**8),
        ("parents", 10**8), ("categories", 10**9), ("categories_nodes", 10**8), ("categories_segments", 10**8),
        ("categories_sizes", 10**8), ("split_type", 1), ("split_type", 0),
    ],
)  # fmt: skip
def test_a_tree_of_xgboost_with_edited_numbers_is_refused(tmp_path: Path, field: str, value: int) -> None:
    model = xgboost_json(tmp_path)
    for tree in trees_of(model)["trees"]:
        if tree[field]:
            tree[field] = [value, *tree[field][1:]] if field != "split_type" else [value] * len(tree[field])
    with pytest.raises(ValueError, match=r"out of range|two parents|no end|other nodes"):
        xgboost_trees.check_file(json.dumps(model).encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda model: trees_of(model)["tree_info"].__setitem__(0, 99),
        lambda model: trees_of(model)["iteration_indptr"].__setitem__(1, 10**6),
        lambda model: trees_of(model)["trees"].pop(),
        lambda model: trees_of(model)["trees"][0]["base_weights"].pop(),
        lambda model: trees_of(model)["trees"][0]["tree_param"].__setitem__("num_nodes", "100000"),
        lambda model: model["learner"]["learner_model_param"].__setitem__("num_feature", "1"),
        lambda model: model["learner"]["gradient_booster"].__setitem__("name", "other"),
    ],
)  # fmt: skip
def test_a_model_of_xgboost_with_arrays_of_other_sizes_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    model = xgboost_json(tmp_path)
    xgboost_trees.check_file(json.dumps(model).encode())
    change(model)
    with pytest.raises(Damaged):
        xgboost_trees.check_file(json.dumps(model).encode())


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    text = json.dumps(xgboost_json(tmp_path))
    with pytest.raises(ValueError, match="twice"):
        xgboost_trees.check_file(text.replace('"learner":', '"learner": {}, "learner":', 1).encode())


def test_ubjson_is_read_as_xgboost_writes_it(tmp_path: Path) -> None:
    model = booster_of("XGBoost")
    for suffix in ("json", "ubj"):
        model.save_model(tmp_path / f"model.{suffix}")
    read = ubjson.read((tmp_path / "model.ubj").read_bytes())
    text = json.loads((tmp_path / "model.json").read_text())
    for ours, theirs in zip(trees_of(read)["trees"], trees_of(text)["trees"], strict=True):
        assert ours.keys() == theirs.keys()
        for name in ("left_children", "right_children", "split_indices", "categories", "default_left"):
            assert ours[name].tolist() == theirs[name]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[$l#L" + b"\x7f" * 8, b"[" * 500, b"{" + b"U\x01a{" * 500, b"q", b"[#l\xff\xff\xff\xff"]
)
def test_broken_ubjson_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut short|deeper|marker|negative"):
        ubjson.read(content)


def test_a_booster_inside_a_skops_file_is_looked_at(files: dict[str, bytes]) -> None:
    schema = schema_of(files["XGBoost"])
    member = next(each["file"] for each in states(schema) if each["__loader__"] == "BytearrayNode")
    with zipfile.ZipFile(io.BytesIO(files["XGBoost"])) as file:
        content = bytearray(file.read(member))
    at = content.index(b"split_indices[$l#") + len(b"split_indices[$l#L") + 8
    content[at : at + 4] = (10**6).to_bytes(4, "big")
    for damaged in (bytes(content), b'{"learner": {}}', b"binf" + bytes(content)):
        with pytest.raises(ToolFailure, match=r"a feature out of range|marker|cut short|no length"):
            read_model(repacked(files["XGBoost"], members={member: damaged}), "model")


def lightgbm_text() -> str:
    return booster_of("LightGBM", min_data_per_group=5, max_cat_to_onehot=1, cat_smooth=0.1).booster_.model_to_string()


EDITS = [
    (r"left_child=\S+", "left_child=100000"), (r"right_child=\S+", "right_child=-100000"),
    (r"left_child=\S+", "left_child=0"), (r"split_feature=\S+", "split_feature=100000"),
    (r"num_leaves=\S+", "num_leaves=30"), (r"cat_boundaries=0 \S+", "cat_boundaries=0 900"),
    (r"num_cat=[1-9]\d*", "num_cat=9"), (r"max_feature_idx=2", "max_feature_idx=0"), (r"num_class=1", "num_class=7"),
    (r"num_tree_per_iteration=1", "num_tree_per_iteration=3"), (r"objective=\S+", "objective=multiclass num_class:9"),
    (r"leaf_value=\S+ ", "leaf_value="), (r"shrinkage=", "num_leaves=1\nshrinkage="),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "instead"), EDITS)
def test_a_model_of_lightgbm_with_edited_numbers_is_refused(pattern: str, instead: str) -> None:
    whole = lightgbm_text()
    lightgbm_trees.check_text(whole)
    assert re.search(pattern, whole)
    with pytest.raises(Damaged):
        lightgbm_trees.check_text(resized(re.sub(pattern, instead, whole, count=1)))


def resized(text: str) -> str:
    """The text with the places of its trees as they are now."""
    blocks = re.findall(r"Tree=\d+\n.*?(?=Tree=|end of trees)", text, re.DOTALL)
    return re.sub(r"tree_sizes=.*", "tree_sizes=" + " ".join(str(len(each)) for each in blocks), text, count=1)


def test_trees_of_lightgbm_lie_where_the_text_says() -> None:
    text = lightgbm_text()
    for instead in ("tree_sizes=1 2 3 4 5 6 7 8", "tree_sizes=", "tree_sizes=" + "9" * 15):
        with pytest.raises(Damaged):
            lightgbm_trees.check_text(re.sub(r"tree_sizes=.*", instead, text, count=1))


def test_deep_and_huge_files_are_refused_before_they_are_unpacked() -> None:
    content = dumped({"a": 1})
    deep = "[" * 200_000 + "]" * 200_000
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("schema.json", "{}")
        file.writestr("rows.npy", bytes(64 << 20))
    for bad in (repacked(content, members={"schema.json": deep.encode()}), bomb.getvalue(), content[:80], b""):
        with pytest.raises(ToolFailure, match="no skops file"):
            read_model(bad, "model")


def test_a_schema_of_an_older_protocol_is_refused() -> None:
    content = dumped({"a": 1})
    with pytest.raises(ToolFailure, match="another version of skops"):
        read_model(repacked(content, schema_of(content) | {"protocol": 0}), "model")
