"""The dataset behind what a comparison is asked of: a dataset, or the training data of a model or an endpoint."""

from __future__ import annotations

import re

from ..errors import ToolFailure
from ..handles import parse_model
from ..lineage import Edge, Lineage
from ..runtime.work import Work
from .answers import ENDPOINT, newest_bento
from .store import Dataset, resolve

MODEL = re.compile(r"^(model:|models:/)")
# What fits a model to a dataset; other parents of a model were only scored on.
FITTING = ("train_model", "estimate_effect", "log_model", "import_model", "tune_model")
LOGGED = re.compile(r"^models:/m-[0-9a-f]{32}$")


def rows_behind(work: Work, text: str) -> tuple[Dataset, str]:
    """The dataset, and of what model it is the training data (or nothing).

    An endpoint stands for the model that has answered last of what is logged of it.

    Raises:
        ToolFailure: an unknown dataset, or a model whose training data is not known here.
    """
    lineage = Lineage(work.home)
    if text.strip().startswith(ENDPOINT):
        model = newest_bento(work, text.strip())
    elif MODEL.match(text.strip()):
        model = text.strip() if LOGGED.match(text.strip()) else _versioned(lineage, text)
    else:
        return resolve(work, text), ""
    edges = lineage.ancestors(model)
    if found := next((edge.parent for edge in edges if _is_training(edge)), ""):
        return resolve(work, found), model
    raise ToolFailure(
        f"the training data of {text} is not known here", "Pass the dataset; get_lineage shows what a model came from."
    )


def rows_now(work: Work, text: str) -> Dataset:
    """What is compared with a reference: of an endpoint that is what is logged of it.

    Raises:
        ToolFailure: as `rows_behind` does.
    """
    return resolve(work, text) if text.strip().startswith(ENDPOINT) else rows_behind(work, text)[0]


def _is_training(edge: Edge) -> bool:
    return edge.parent.startswith("dataset:") and edge.by in FITTING


def _versioned(lineage: Lineage, text: str) -> str:
    """The newest version of a bare name.

    Raises:
        ToolFailure: an alias, which only the registry knows.
    """
    wanted = parse_model(text)
    if wanted.alias:
        raise ToolFailure(f"{text!r} is an alias", f"Pass model:{wanted.name}/<version>; get_model names it.")
    if wanted.version:
        return str(wanted)
    numbers = [node.rpartition("/")[2] for node in lineage.nodes() if node.startswith(f"model:{wanted.name}/")]
    newest = max((int(number) for number in numbers if number.isdigit()), default=0)
    return f"model:{wanted.name}/{newest}" if newest else str(wanted)
