"""A model that is a graph of ONNX: it answers rows with onnxruntime alone.

Copied as it is beside a model in MLflow and into every bento, so it imports nothing of this package.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FLOATS = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16"}
WHOLE = {"tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(bool)": "bool"}
TEXT = "tensor(string)"
SHARES = re.compile(r"seq\(map\((int64|string),tensor\(float\)\)\)")
# Beyond what the process has that asks a graph, in bytes.
MAX_MEMORY = 2 << 30
# What onnxruntime raises has no common parent of its own.
ERRORS = (
    "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException", "EPFail",
    "NoModel", "NoSuchFile", "EngineError",
)  # fmt: skip


@dataclass(frozen=True)
class Input:
    """One tensor that the graph takes; `width` is None where it takes any number of columns."""

    name: str
    kind: str
    width: int | None


class Graph:
    """A graph that gives one number a row. `names` are the columns of its inputs, in their order."""

    def __init__(self, content: bytes, names: Sequence[str] = (), threads: int = 1) -> None:
        self.content, self.names, self.threads = content, list(names), threads
        self._session = session_of(content, threads)
        self.inputs = [_input(each) for each in self._session.get_inputs()]
        answer_of(self._session.get_outputs())

    def __getstate__(self) -> dict[str, Any]:
        return {"content": self.content, "names": self.names, "threads": self.threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Graph.__init__(self, **state)

    @property
    def width(self) -> int:
        """How many columns it takes, -1 where that is not fixed."""
        widths = [each.width for each in self.inputs]
        return -1 if None in widths else sum(width for width in widths if width is not None)

    @property
    def own_names(self) -> list[str]:
        """The names of its inputs, where each is one column; of one alone they may mean anything."""
        single = len(self.inputs) > 1 and all(each.width == 1 for each in self.inputs)
        return [each.name for each in self.inputs] if single else []

    @property
    def gives_shares(self) -> bool:
        """Whether its outputs say that it tells classes apart; one number a row may be the share of the second."""
        outputs = self._session.get_outputs()
        answer, labelled = answer_of(outputs), any(each.type in (TEXT, *WHOLE) for each in outputs)
        last = answer.shape[1] if len(answer.shape) > 1 else 1
        return labelled or self.gives_maps or (isinstance(last, int) and last > 1)

    @property
    def gives_maps(self) -> bool:
        """Whether it names each score, instead of giving them in an order of its own."""
        return bool(SHARES.fullmatch(answer_of(self._session.get_outputs()).type))

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """Shape (rows,).

        Raises:
            ValueError: rows that the graph does not take.
        """
        return self._run(rows).reshape(len(rows), -1)[:, 0]

    def _run(self, rows: pd.DataFrame) -> np.ndarray:
        import numpy as np

        given = {each.name: tensor for each, tensor in self._given(rows)}
        wanted = answer_of(self._session.get_outputs())
        with bounded():
            (found,) = self._session.run([wanted.name], given)
        if isinstance(found, list):
            found = [[row[label] for label in sorted(row)] for row in found]
        return np.asarray(found, dtype=np.float64).reshape(len(rows), -1)

    def _given(self, rows: pd.DataFrame) -> Iterator[tuple[Input, np.ndarray]]:
        import numpy as np

        left = list(self.names)
        for each in self.inputs:
            width = len(left) if each.width is None else each.width
            names, left = left[:width], left[width:]
            yield each, np.column_stack([_as(rows[name], each.kind) for name in names])
        if left:
            raise ValueError(f"the graph takes no {', '.join(left[:5])}")


class Classifier(Graph):
    """A graph that gives a share for each class."""

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        """Shape (rows, classes)."""
        import numpy as np

        found = self._run(rows)
        return np.column_stack([1 - found, found]) if found.shape[1] == 1 else found

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """The place of the likeliest class."""
        return self.predict_proba(rows).argmax(axis=1)


def opened(content: bytes, names: Sequence[str], classifies: bool, threads: int = 1) -> Graph:
    """The graph in a file.

    Raises:
        ValueError: it is none, or not about rows of a table.
    """
    return (Classifier if classifies else Graph)(content, names, threads)


def answer_of(outputs: Sequence[Any]) -> Any:
    """The output that holds the scores or the number: beside it there may be the label."""
    found = [each for each in outputs if each.type in FLOATS or SHARES.fullmatch(each.type)]
    if len(found) != 1:
        given = ", ".join(f"{each.name}: {each.type}" for each in outputs)
        raise ValueError(f"which of its outputs is the answer cannot be told: {given[:300]}")
    return found[0]


def errors() -> tuple[type[Exception], ...]:
    native = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    return tuple(getattr(native, name) for name in ERRORS if hasattr(native, name))


def session_of(content: bytes, threads: int = 1) -> Any:
    """Raises ValueError for what is no graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    # Its own format is told by four bytes, and would not be what was looked at.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # What does not depend on rows is worked out here already.
    with bounded():
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@contextmanager
def bounded() -> Generator[None]:
    """Let a graph have so much memory beyond what this process has, as a few bytes of one can ask for any amount.

    The limit is that of the process: what other threads take meanwhile counts too, and whoever is done first lifts it.

    Raises:
        ValueError: what onnxruntime raises.
    """
    try:
        with _address_space(MAX_MEMORY):
            yield
    except MemoryError as error:
        raise ValueError(f"the graph takes more than {MAX_MEMORY >> 20} MB of memory") from error
    except errors() as error:
        said = str(error).splitlines()[0][:300]
        full = "bad_alloc" in str(error) or "Failed to allocate memory" in str(error)
        raise ValueError(f"{said} (it may take {MAX_MEMORY >> 20} MB of memory)" if full else said) from error


@contextmanager
def _address_space(more: int) -> Generator[None]:
    """Bound what is mapped, where the system says how much that is; hard limits stay what they are."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        yield
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize() + more
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _input(said: Any) -> Input:
    if said.type not in (TEXT, *FLOATS, *WHOLE) or len(said.shape) > 2:
        raise ValueError(f"its input {said.name} is {said.type} of shape {said.shape}, and rows are a table")
    last = said.shape[1] if len(said.shape) > 1 else 1
    return Input(said.name, said.type, last if isinstance(last, int) else None)


def _as(values: pd.Series, kind: str) -> np.ndarray:
    """A column as the type of a tensor; where it has no hole, none is filled."""
    import numpy as np

    if kind in FLOATS:
        return values.to_numpy(dtype=FLOATS[kind])
    if values.isna().any():
        raise ValueError(f"{values.name} has holes, which the graph cannot take")
    if kind == TEXT:
        return np.array([_text(value) for value in values.tolist()], dtype=object)
    numbers = values.to_numpy(dtype=np.float64)
    whole = numbers.astype(WHOLE[kind])
    if not np.array_equal(whole.astype(np.float64), numbers):
        raise ValueError(f"{values.name} is no {WHOLE[kind]} in every row")
    return whole


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
