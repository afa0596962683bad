"""Rules run by Great Expectations itself, over pandas."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...config.settings import Settings
from ..errors import ToolFailure
from .examples import COUNTED
from .models import Expectation
from .obstacles import not_computed, scope_of
from .plain import reason_of
from .plan import Found
from .rules import build
from .subject import Scope, Subject
from .suites import columns_of, renamed
from .times import times_for

if TYPE_CHECKING:
    import pandas as pd

RESULT_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": COUNTED}
COMPLETE = {"result_format": "COMPLETE", "return_unexpected_index_query": False}


class Engine:
    """One ephemeral context with one asset: a new one for every frame keeps all of them in memory."""

    def __init__(self, _: Settings) -> None:
        import great_expectations as gx
        import tqdm  # type: ignore[import-untyped]

        tqdm.tqdm.monitor_interval = 0  # a validation starts a monitor thread otherwise
        logging.captureWarnings(False)
        context: Any = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
        self._batches = asset.add_batch_definition_whole_dataframe("whole")

    def validate(self, frame: pd.DataFrame, rules: Sequence[Any], complete: bool = False) -> dict[str, Any]:
        """The raw result of each rule, by its key: their order is not that of the suite, and some come twice.

        Args:
            complete: whether it names every row that breaks a rule, not only the first ones.
        """
        import great_expectations as gx

        suite = gx.ExpectationSuite(name="suite", expectations=list(rules))
        batch = self._batches.get_batch(batch_parameters={"dataframe": frame})
        results: list[Any] = batch.validate(suite, result_format=COMPLETE if complete else RESULT_FORMAT).results
        self._batches.get_batch(batch_parameters={"dataframe": frame.head(0)})  # lets go of the frame
        return {result.expectation_config.meta["key"]: result for result in results}


def by_library(
    engine: Engine, subject: Subject, rules: Mapping[int, Expectation], complete: bool
) -> dict[int, Found | str]:
    """What each rule found, or why nothing could be computed."""
    found, waiting = dict[int, Found | str](), dict[Scope, dict[int, Expectation]]()
    for place, rule in rules.items():
        waiting.setdefault(scope_of(rule), {})[place] = rule
    for scope, chosen in waiting.items():
        found |= _evaluated(engine, subject, scope, chosen, complete)
    return found


def _evaluated(
    engine: Engine, subject: Subject, scope: Scope, rules: Mapping[int, Expectation], complete: bool
) -> dict[int, Found | str]:
    named = dict.fromkeys(column for rule in rules.values() for column in columns_of(rule))
    frame, apart = subject.frame(scope, list(named) or subject.named[:1]), _told_apart(list(named))
    frame = frame.rename(columns=apart)
    built, refused = list[Any](), dict[int, Found | str]()
    for place, rule in rules.items():
        try:
            kwargs = times_for(rule, subject.kind(rule.kwargs.get("column")))
            built.append(build(rule, renamed(kwargs, apart), str(place)))
        except ToolFailure as failure:
            refused[place] = failure.message
    raw = engine.validate(frame, built, complete) if built else {}
    waiting = {place: rule for place, rule in rules.items() if place not in refused}
    return refused | {place: _told(subject, rule, raw.get(str(place))) for place, rule in waiting.items()}


def _told_apart(names: Sequence[str]) -> dict[str, str]:
    """Other names for columns of which the library would take one for another: it does not tell case and quotes."""
    folded = {name.casefold().strip('"[]`') for name in names}
    return {name: f"column {place}" for place, name in enumerate(names)} if len(folded) < len(names) else {}


def _told(subject: Subject, rule: Expectation, raw: Any) -> Found | str:
    if raw is None:
        return "the library returned no result for it"
    if reason := reason_of(raw.exception_info):
        return not_computed(subject, rule, reason)
    return Found(bool(raw.success), raw.result)
