"""Graphs of ONNX, as models of ours."""

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.errors import MissingArgument, ToolFailure
from mlops_mcp.tools.explain.sampled import BACKGROUND_ROWS, answer_values, rows_at_most
from mlops_mcp.tools.modeling.card import Feature, ModelCard
from mlops_mcp.tools.modeling.graph import Graph, opened
from mlops_mcp.tools.modeling.pipelines import scores
from mlops_mcp.tools.modeling.store import find_model, load_pipeline
from mlops_mcp.tools.registry import client
from mlops_mcp.tools.registry.models import LogRequest
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking.backend import mlflow_client

from .imported import answers, everything_in, laid_rows, linear, logged_by_mlflow, taken

pytestmark = pytest.mark.slow
Made = Callable[[pd.DataFrame], bytes]


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    return laid_rows(tmp_path)


def exported(model: Any, rows: pd.DataFrame, **options: Any) -> Any:
    from skl2onnx import to_onnx

    return to_onnx(model, rows.to_numpy(np.float32), options=options)


def with_maps(frame: pd.DataFrame) -> Any:
    return exported(linear(frame), frame[["x", "z"]])


def with_shares(frame: pd.DataFrame) -> Any:
    return exported(linear(frame), frame[["x", "z"]], zipmap=False)


def log(model: Any, frame: pd.DataFrame) -> Callable[[], Any]:
    """As MLflow logs a graph with some rows."""
    from mlflow import onnx

    example = frame[["x", "z"]].head(3).astype("float32")
    return lambda: onnx.log_model(model, name="m", pip_requirements=[], input_example=example)


def written(tmp_path: Path, name: str, inputs: list[Any], outputs: list[Any], nodes: list[Any], **more: Any) -> Path:
    """A graph made by hand."""
    from onnx import helper

    domains = more.pop("domains", [""])
    graph = helper.make_graph(nodes, "g", inputs, outputs, **more)
    opsets = [helper.make_opsetid(domain, 17 if domain == "" else 1) for domain in domains]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    (tmp_path / name).write_bytes(model.SerializeToString())
    return tmp_path / name


def tensor(name: str, width: int | str | None, kind: int = 1) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, kind, ["rows", width])


@pytest.mark.parametrize("made", [with_maps, with_shares])
def test_a_graph_of_mlflow_answers_as_before_and_is_kept_byte_for_byte(
    work: Work, tmp_path: Path, frame: pd.DataFrame, made: Made
) -> None:
    import mlflow
    from mlflow.models import get_model_info

    uri = logged_by_mlflow(work, log(made(frame), frame))
    mlflow.register_model(uri, "theirs")
    folder = Path(mlflow_client(work).get_logged_model(uri.removeprefix("models:/")).artifact_location)
    before = everything_in(folder)
    shown = client.get_model(work, "model:theirs/1", 5, False).foreign
    assert shown is not None
    assert shown.refused is None
    found = taken(work, tmp_path, model="model:theirs/1", name="ours")
    assert (found.algorithm, found.classes, found.features) == ("ONNX", [0, 1], ["x", "z"])
    assert found.checked == "3 rows of its input example: the same answers as before"
    stored = find_model(work, "model:ours/1")
    assert stored.file.read_bytes() == (folder / "model.onnx").read_bytes()
    expected = linear(frame).predict_proba(frame[["x", "z"]])
    assert np.allclose(answers(work, found.model, frame), expected, atol=1e-6)
    # MLflow finds it as a flavor of its own, and pyfunc takes rows of any type.
    loaded = mlflow.pyfunc.load_model(found.model)
    assert [*loaded.predict(frame[["z", "x"]].head(20))] == [*expected.argmax(axis=1)[:20]]
    assert "onnx" in get_model_info(found.model).flavors
    again = client.log_model(work, LogRequest(model=found.model, run="", name=""))
    assert find_model(work, again.model).file.read_bytes() == stored.file.read_bytes()
    assert client.get_model(work, "model:ours/1", 5, True).check is not None
    assert everything_in(folder) == before


def test_columns_of_several_types_come_in_by_the_names_of_their_inputs(work: Work, tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"city": rng.choice(["Köln", "<script>", "b"], 200), "age": rng.integers(0, 90, 200), "x": rng.normal(size=200)}
    )
    rows = rows.assign(y=rows["age"] + 5.0 * (rows["city"] == "b") + rows["x"])
    rows.to_parquet(tmp_path / "rows.parquet")
    encoder = ColumnTransformer([("c", OneHotEncoder(), ["city"]), ("n", "passthrough", ["age", "x"])])
    model = Pipeline([("pre", encoder), ("model", LinearRegression())]).fit(rows[["city", "age", "x"]], rows["y"])
    types = {"city": StringTensorType, "age": Int64TensorType, "x": FloatTensorType}
    kinds: Any = [(name, kind([None, 1])) for name, kind in types.items()]
    graph: Any = to_onnx(model, initial_types=kinds)
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    found = taken(work, tmp_path, "m.onnx", target="")
    assert (found.task, found.features, found.target) == ("regression", ["city", "age", "x"], "y")
    assert np.allclose(answers(work, found.model, rows), rows["y"], atol=1e-3)
    with pytest.raises(ValueError, match="age has holes"):
        answers(work, found.model, rows.assign(age=np.nan))
    with pytest.raises(ValueError, match="age is no int64"):
        answers(work, found.model, rows.assign(age=0.5))


def test_one_number_a_row_is_a_share_only_if_the_caller_names_classes(work: Work, tmp_path: Path, frame: Any) -> None:
    """As Keras and PyTorch export a model of two classes."""
    from onnx import helper, numpy_helper

    weights = numpy_helper.from_array(np.array([[2.0], [1.0]], np.float32), "w")
    nodes = [helper.make_node("MatMul", ["in", "w"], ["z"]), helper.make_node("Sigmoid", ["z"], ["out"])]
    for name, width in (("fixed.onnx", 2), ("open.onnx", None)):
        written(tmp_path, name, [tensor("in", width)], [tensor("out", 1)], nodes, initializer=[weights])
        with pytest.raises(ToolFailure, match="does not say which columns"):
            taken(work, tmp_path, name)
    uri = logged_by_mlflow(work, log(__import__("onnx").load(tmp_path / "open.onnx"), frame))
    assert taken(work, tmp_path, model=uri).classes == []
    found = taken(work, tmp_path, model=uri, classes=["0", "1"])
    assert found.classes == [0, 1]
    expected = 1 / (1 + np.exp(-(2 * frame["x"] + frame["z"])))
    # Read again it is what it was taken in as.
    assert np.allclose(answers(work, found.model, frame)[:, 1], expected, atol=1e-6)
    assert find_model(work, found.model).card.classes == [0, 1]


def test_texts_of_classes_are_the_graph_s_own_and_numbers_are_asked_for(work: Work, tmp_path: Path, frame: Any) -> None:
    named = frame.assign(y=frame["y"].map({0: "yes", 1: "no"}))
    named.to_parquet(tmp_path / "rows.parquet")
    texts = linear(named)
    for made in (with_maps, with_shares):
        uri = logged_by_mlflow(work, log(made(named), named))
        assert taken(work, tmp_path, model=uri).classes == ["no", "yes"]
        with pytest.raises(ToolFailure, match="names its classes itself"):
            taken(work, tmp_path, model=uri, classes=["yes", "no"])
    uri = logged_by_mlflow(work, log(with_shares(frame), frame))
    with pytest.raises(MissingArgument, match="numbers its classes"):
        taken(work, tmp_path, model=uri)
    found = taken(work, tmp_path, model=uri, classes=["yes", "no"])
    assert np.allclose(answers(work, found.model, named), texts.predict_proba(frame[["x", "z"]])[:, ::-1], atol=1e-6)


def test_graphs_that_name_other_files_or_libraries_or_are_not_about_rows_are_refused(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    from onnx import TensorProto, helper

    away = TensorProto(name="w", data_type=1, dims=[2, 1], data_location=TensorProto.EXTERNAL)
    away.external_data.add(key="location", value="../../../etc/passwd")
    hidden = helper.make_node("Constant", [], ["w"], value=away)
    product = helper.make_node("MatMul", ["in", "w"], ["out"])
    rows, answer = tensor("in", 2), tensor("out", 1)
    written(tmp_path, "away.onnx", [rows], [answer], [product], initializer=[away])
    written(tmp_path, "hidden.onnx", [rows], [answer], [hidden, product])
    other = helper.make_node("Run", ["in"], ["out"], domain="evil.ops")
    written(tmp_path, "other.onnx", [rows], [answer], [other], domains=["", "evil.ops"])
    image = helper.make_tensor_value_info("in", 1, [None, 3, 8, 8])
    same = helper.make_node("Identity", ["in"], ["out"])
    written(tmp_path, "image.onnx", [image], [helper.make_tensor_value_info("out", 1, [None, 3, 8, 8])], [same])
    twice = [helper.make_node("Identity", ["in"], [name]) for name in ("a", "b")]
    written(tmp_path, "twice.onnx", [rows], [tensor("a", 2), tensor("b", 2)], twice)
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    (tmp_path / "empty.onnx").write_bytes(b"")
    for name, says in (
        ("away.onnx", "other files for its weights"),
        ("hidden.onnx", "other files for its weights"),
        ("other.onnx", "evil.ops"),
        ("image.onnx", "rows are a table"),
        ("twice.onnx", "cannot be told"),
        ("junk.onnx", "no model of ONNX"),
        ("empty.onnx", "no graph that is opened"),
    ):
        with pytest.raises(ToolFailure, match=says):
            taken(work, tmp_path, name)


@pytest.mark.parametrize("side", [1e7, 3e4])
def test_a_graph_that_asks_for_more_memory_than_there_is_or_than_it_may_have_fails_alone(
    tmp_path: Path, side: float
) -> None:
    """Its rows say how much, so that nothing shows before it predicts."""
    from onnx import helper, numpy_helper

    flat = numpy_helper.from_array(np.array([-1]), "flat")
    nodes = [
        helper.make_node("Cast", ["in"], ["whole"], to=7),
        helper.make_node("Reshape", ["whole", "flat"], ["line"]),
        helper.make_node("Concat", ["line", "line"], ["size"], axis=0),
        helper.make_node("ConstantOfShape", ["size"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["out"]),
    ]
    content = written(tmp_path, "huge.onnx", [tensor("in", 1)], [tensor("out", 1)], nodes, initializer=[flat])
    graph: Any = opened(content.read_bytes(), ["a"], classifies=False)
    limit = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(ValueError, match=r"ConstantOfShape|more than 2048 MB"):
        graph.predict(pd.DataFrame({"a": [side]}))
    card = ModelCard(
        algorithm="ONNX", task="regression", target="y", dataset="d", rows=1,
        features=[Feature(name="a", kind="number")],
    )  # fmt: skip
    with pytest.raises(ToolFailure, match="the graph cannot answer these rows"):
        scores(graph, pd.DataFrame({"a": [side]}), card)
    assert graph.predict(pd.DataFrame({"a": [3.0]})).tolist() == [0.0]
    assert resource.getrlimit(resource.RLIMIT_AS) == limit


def test_a_graph_that_was_changed_in_the_store_is_not_opened(work: Work, tmp_path: Path, frame: pd.DataFrame) -> None:
    from onnx import load, save

    found = taken(work, tmp_path, model=logged_by_mlflow(work, log(with_shares(frame), frame)))
    stored = find_model(work, found.model)
    model = load(stored.file)
    model.graph.node[0].domain = "evil.ops"
    save(model, stored.file)
    with pytest.raises(ToolFailure, match="not the one that was saved"):
        find_model(work, found.model)
    # One with another digest in its card is looked at as when it came.
    with pytest.raises(ToolFailure, match=r"evil\.ops"):
        load_pipeline(stored)


def test_a_graph_goes_to_another_process_and_answers_there_as_here(frame: pd.DataFrame) -> None:
    import pickle

    content = with_shares(frame).SerializeToString()
    graph = opened(content, ["x", "z"], classifies=True)
    again = pickle.loads(pickle.dumps(graph))
    assert isinstance(again, Graph)
    assert np.array_equal(again.predict(frame), graph.predict(frame))
    with pytest.raises(ValueError, match="takes no y"):
        opened(content, ["x", "z", "y"], classifies=True).predict(frame)


def test_what_is_sampled_of_a_linear_graph_is_its_closed_form(tmp_path: Path, frame: pd.DataFrame) -> None:
    from onnx import helper, numpy_helper

    weights = numpy_helper.from_array(np.array([[2.0], [-1.0]], np.float32), "w")
    product = helper.make_node("MatMul", ["in", "w"], ["out"])
    content = written(tmp_path, "m.onnx", [tensor("in", 2)], [tensor("out", 1)], [product], initializer=[weights])
    graph: Any = opened(content.read_bytes(), ["x", "z"], classifies=False)
    features = [Feature(name=name, kind="number") for name in ("x", "z")]
    card = ModelCard(algorithm="ONNX", task="regression", target="y", features=features, dataset="d", rows=300)
    rows, behind = frame[["x", "z"]].head(20), frame[["x", "z"]].tail(BACKGROUND_ROWS)
    found = answer_values(graph, card, rows, behind)
    expected = (rows - behind.mean()).to_numpy() * [2.0, -1.0]
    assert np.allclose(found.values[..., 0], expected, atol=1e-4)
    assert found.additivity_error < 1e-4
    assert rows_at_most(card) > 100
