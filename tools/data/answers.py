"""The log of an endpoint as rows: what it was sent and what it answered, a sample of it.

Its services write it (`serving/answerlog.py`), and know the folder by that of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import ToolFailure, unknown
from ..handles import check_name, parse
from ..runtime.work import Work
from ..storage.state_files import private_folder, replaced

ENDPOINT = "endpoint:"
# How much of what it answers a service keeps.
SAMPLE = "sample"
# Older lines first.
FILES = ("answers.1.jsonl", "answers.jsonl")
# Columns of ours; a feature of the same name is called otherwise.
OWN = ("answered_at", "bento", "prediction")


def log_folder(work: Work, endpoint: str) -> Path:
    """Where the services of an endpoint write, whichever bento they serve."""
    return work.home / "endpoints" / check_name(parse(endpoint, "endpoint").name, "endpoint") / "answers"


def dataset_name(endpoint: str) -> str:
    """What its log is called as a dataset."""
    return f"{endpoint[:55]}_answers"


def keep_answers(work: Work, endpoint: str, share: float) -> None:
    """Let what is started from now on log so much of what it answers, 0 to 1."""
    folder = log_folder(work, endpoint)
    private_folder(folder)
    replaced(folder / SAMPLE, f"{share}".encode())


def told_of(endpoint: str, share: float) -> list[str]:
    """What that is good for."""
    told = f"{ENDPOINT}{endpoint} is then a dataset, and compare_datasets tells its drift"
    return [f"{share:.0%} of the rows are logged: {told}"] if share else []


def lines_of(work: Work, endpoint: str) -> list[dict[str, Any]]:
    """What is logged of an endpoint, oldest first.

    Raises:
        ToolFailure: nothing is, or there is no such endpoint.
    """
    folder = log_folder(work, endpoint)
    known = sorted(file.stem for file in folder.parent.parent.glob("*.json"))
    if folder.parent.name not in known:
        raise unknown("endpoint", endpoint, (f"{ENDPOINT}{each}" for each in known), "deploy_model starts one.")
    found = [line for name in FILES for line in _lines(folder / name)]
    if not found:
        raise ToolFailure(
            f"nothing is logged of {endpoint}", "deploy_model(log_sample=0.1) lets it keep a tenth of what it answers."
        )
    return found


def newest_bento(work: Work, endpoint: str) -> str:
    """The bento that has answered last of what is logged, as a handle."""
    return f"bento:{lines_of(work, endpoint)[-1]['bento']}"


def table_of(lines: list[dict[str, Any]]) -> Any:
    """The lines as an Arrow table: the time, the bento, the features, the prediction and a probability for each class.

    A column whose lines hold several types, as those of two bentos may, is text.
    """
    import pyarrow as pa

    rows = [_flat(line) for line in lines]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _column([row.get(name) for row in rows], name) for name in names})


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """What is no line of ours, as one whose writer was killed before its end, is passed over."""
    content = b""
    with suppress(FileNotFoundError):  # nothing is logged yet, or it is set aside at this moment
        content = path.read_bytes()
    for line in content.split(b"\n"):
        with suppress(ValueError, RecursionError):
            if _is_whole(found := json.loads(line)):
                yield found


def _is_whole(line: object) -> bool:
    return (
        isinstance(line, dict)
        and isinstance(line.get("at"), float)
        and isinstance(line.get("bento"), str)
        and isinstance(line.get("row"), dict)
        and isinstance(line.get("probabilities", {}), dict)
        and "prediction" in line
    )


def _flat(line: dict[str, Any]) -> dict[str, Any]:
    taken = {*OWN, *(f"probability_{label}" for label in line.get("probabilities", {}))}
    features = {f"{name}_given" if name in taken else name: value for name, value in line["row"].items()}
    shares = {f"probability_{label}": share for label, share in line.get("probabilities", {}).items()}
    return {
        "answered_at": line["at"],
        "bento": line["bento"],
        **features,
        "prediction": line["prediction"],
        **shares,
    }


def _column(values: list[Any], name: str) -> Any:
    import pyarrow as pa

    if name == "answered_at":
        return pa.array([int(value * 1e6) for value in values], pa.timestamp("us", "UTC"))
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float, bool} and len(kinds) > 1:
        return pa.array([None if value is None else float(value) for value in values])
    if len(kinds) > 1:
        return pa.array([None if value is None else str(value) for value in values])
    return pa.array(values)
