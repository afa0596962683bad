"""Which rows a search has chosen parameters by: the score of a model with such parameters on them is optimistic."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, JsonValue

from ..data.store import resolve
from ..errors import ToolFailure, unknown
from ..handles import parse
from ..runtime.work import Work
from ..storage.state_files import private_folder, replaced
from .card import ModelCard, Task
from .rows import Rows, overlap, rows_of
from .target import labelled


class Search(BaseModel):
    """A search of parameters: `dataset` holds the rows that its points were scored on.

    `best` is the best point so far, None in a record of an older version; what follows is what its model was asked.
    """

    study: str
    algorithm: str
    target: str
    params: list[str]
    dataset: str
    best: dict[str, JsonValue] | None = None
    task: Task = "classification"
    features: list[str] = []
    positive: str = ""
    group: str = ""
    time: str = ""


def record(home: Path, search: Search) -> None:
    """Keep it under the name of its study; a resumed one replaces itself."""
    folder = private_folder(home / "searches")
    replaced(folder / f"{search.study}.json", search.model_dump_json().encode())


def search_named(home: Path, study: str) -> Search:
    """What a study has found.

    Raises:
        ToolFailure: no search of that name was made here, or not by this version.
    """
    name = parse(study, "study").name
    known = {each.study: each for each in _searches(home)}
    if name not in known:
        raise unknown("study", study, (f"study:{each}" for each in known), "tune_model makes one.")
    if known[name].best is None:
        raise ToolFailure(f"the best point of study:{name} was not kept", "Pass its best_params of get_study.")
    return known[name]


def searched(work: Work, card: ModelCard, others: Rows) -> list[str]:
    """A note for each search of this algorithm and target that has scored its points on any of these rows."""
    notes: list[str] = []
    for search in _searches(work.home):
        if (search.algorithm, search.target) != (card.algorithm, card.target) or not {*search.params} & {*card.params}:
            continue
        try:
            rows = rows_of(labelled(resolve(work, search.dataset).frame(), card.target)[0], card)
        except ToolFailure:
            continue
        if same := overlap(rows, others).known:
            notes.append(
                f"study:{search.study} chose parameters by {same} of these {len(others.whole)} rows: "
                "if this model has them, its score is optimistic"
            )
    return notes


def _searches(home: Path) -> list[Search]:
    return [Search.model_validate_json(path.read_bytes()) for path in sorted((home / "searches").glob("*.json"))]
