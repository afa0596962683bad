"""Graphs of ONNX as models of ours: what may stand in one, and how it is kept, byte for byte as it came.

ONNX is data, but onnxruntime follows what it names: other files for its weights, operators of other libraries. So a
graph may name neither. The format is that of ONNX' `onnx.proto`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import ToolFailure, require
from . import graph
from .card import GRAPH_FILE, Label

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
LABELS = ("classlabels_ints", "classlabels_int64s", "classlabels_strings")
SOURCE = "graph.py"
HINT = "Export it again with its weights inside and operators of ONNX alone."


def read_graph(content: bytes, name: str, names: Sequence[str], classifies: bool) -> graph.Graph:
    """The graph of a file, once all that it names is looked at.

    Args:
        name: what to call it in an error.
        names: the columns of its inputs, if they are known.
        classifies: whether its answers are shares of classes.

    Raises:
        NotInstalled: onnx or onnxruntime is missing.
        ToolFailure: it is no graph of ONNX, names other files or libraries, or is not about rows of a table.
    """
    require("onnx", "onnxruntime")
    _check(_parsed(content, name), name)
    try:
        return graph.opened(content, names, classifies)
    except ValueError as error:
        raise ToolFailure(f"{name} is no graph that is opened: {error}", HINT) from error


def labels_of(model: graph.Graph) -> list[Label]:
    """The classes in the order of the scores; none where the graph does not name them in one way."""
    found: list[list[Label]] = []
    for node in _nodes(_parsed(model.content, "the graph").graph):
        for attribute in node.attribute:
            if attribute.name in LABELS and (attribute.ints or attribute.strings):
                found.append([*attribute.ints] or [text.decode(errors="replace") for text in attribute.strings])
    if found and all(each == found[0] for each in found):
        # onnxruntime gives maps by the order of their keys.
        return sorted(found[0], key=lambda label: label) if model.gives_maps else found[0]
    return []


def write_graph(model: graph.Graph, described: Any, folder: Path) -> None:
    """Lay it where MLflow's own flavor finds it, with what answers by it beside it."""
    from importlib.metadata import version

    folder.mkdir()
    (folder / GRAPH_FILE).write_bytes(model.content)
    described.add_flavor(
        "onnx", onnx_version=version("onnx"), data=GRAPH_FILE, providers=["CPUExecutionProvider"], code=None
    )
    described.add_flavor("python_function", env={})
    write_module(folder, SOURCE, "graph")


def write_module(folder: Path, source: str, name: str) -> str:
    """Lay a module of ours into the code of a model; returns the name it is imported by.

    A name of its own: two models of one process may have been written by different versions.
    """
    code = files(__package__ or "").joinpath(source).read_text(encoding="utf-8")
    module = f"{name}_{hashlib.sha256(code.encode()).hexdigest()[:12]}"
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code" / f"{module}.py").write_text(code, encoding="utf-8")
    return module


def _parsed(content: bytes, name: str) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load_model_from_string(content)
    except DecodeError as error:
        raise ToolFailure(f"{name} is no model of ONNX: {error}", HINT) from error


def _check(model: Any, name: str) -> None:
    bodies = [model.graph, *model.functions]
    others = {node.domain for body in bodies for node in _nodes(body)} - {*DOMAINS}
    if others or model.functions:
        what = ", ".join(sorted(others)) or "functions of its own"
        raise ToolFailure(f"{name} needs {what[:200]}, which is not opened", HINT)
    if any(_lies_elsewhere(tensor) for tensor in _tensors(model.graph)):
        raise ToolFailure(f"{name} names other files for its weights, which are not read", HINT)


def _lies_elsewhere(tensor: Any) -> bool:
    return bool(tensor.external_data) or tensor.data_location == tensor.EXTERNAL


def _nodes(body: Any) -> Iterator[Any]:
    """Those of a graph and of the graphs inside of them."""
    for node in body.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(body: Any) -> Iterator[Any]:
    """All constants, wherever a graph may hold them."""
    yield from body.initializer
    for sparse in body.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in body.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)
