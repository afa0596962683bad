"""By which names an experiment goes: its own, that without the configured prefix, and its number."""

from __future__ import annotations

from collections.abc import Sequence

from ..runtime.work import Work
from .backend import has_no_store
from .connection import everything, opened


def other_names(work: Work, texts: Sequence[str]) -> dict[str, list[str]]:
    """What else each text may stand for as an experiment, deleted ones among them.

    Raises:
        Unavailable: the store does not answer.
    """
    if has_no_store(work.settings):
        return {}
    with opened(work) as client:
        from mlflow.entities import ViewType

        known = everything(lambda token: client.search_experiments(ViewType.ALL, max_results=1000, page_token=token))
    prefix = work.settings.mlflow.experiment_prefix
    every = [{each.name, each.name.removeprefix(prefix), str(each.experiment_id)} for each in known]
    return {text: sorted(set().union(*(names for names in every if _bare(text) in names))) for text in texts}


def _bare(text: str) -> str:
    return text.strip().removeprefix("experiment:")
