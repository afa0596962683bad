"""Graphs of ONNX from elsewhere: opened, asked as onnxruntime alone would be, and told apart by what they give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import ToolFailure
from ...modeling.card import Label
from ...modeling.graph import FLOATS, TEXT, WHOLE, Classifier, Graph, answer_of, bounded, session_of
from ...modeling.graphs import labels_of, read_graph

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def open_graph(content: bytes, name: str) -> Graph:
    """Raises NotInstalled, and ToolFailure for a file that is no graph about rows of a table."""
    found = read_graph(content, name, (), classifies=False)
    return Classifier(content) if found.gives_shares else found


def plain_answers(content: bytes, rows: pd.DataFrame) -> np.ndarray:
    """What onnxruntime answers to the columns as they lie in the rows; raises ValueError for others than it takes."""
    import numpy as np

    session = session_of(content)
    kinds: dict[str, Any] = {**FLOATS, **WHOLE, TEXT: object}
    given: dict[str, np.ndarray] = {}
    start = 0
    for each in session.get_inputs():
        width = each.shape[1] if len(each.shape) > 1 else 1
        end = start + width if isinstance(width, int) else rows.shape[1]
        block = rows.iloc[:, start:end]
        given[each.name] = (block.astype(str) if each.type == TEXT else block).to_numpy(dtype=kinds[each.type])
        start = end
    with bounded():
        (found,) = session.run([answer_of(session.get_outputs()).name], given)
    by_label = [[row[label] for label in sorted(row)] for row in found] if isinstance(found, list) else found
    answers = np.asarray(by_label, dtype=np.float64)
    return answers[:, 0] if answers.ndim == 2 and answers.shape[1] == 1 else answers


def bound(model: Graph, columns: list[str], asked: bool) -> Graph:
    """The graph with its inputs told by their columns.

    Args:
        asked: whether the caller names classes: one number a row is then the share of the second of two.
    """
    kind = Classifier if asked else type(model)
    return kind(model.content, columns)


def classes_in(model: Graph, rows: pd.DataFrame) -> list[Label] | None:
    """The labels in the order of its scores, counted where it does not name them; None of a regression.

    Raises:
        ToolFailure: it cannot answer the rows.
    """
    if not isinstance(model, Classifier):
        return None
    try:
        width = model.predict_proba(rows).shape[1]
    except (ValueError, TypeError) as error:
        raise ToolFailure(
            f"the graph cannot answer these rows: {str(error)[:200]}", "Pass those it was trained on."
        ) from error
    named = labels_of(model)
    return named if len(named) == width else list(range(width))
