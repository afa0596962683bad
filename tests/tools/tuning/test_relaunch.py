"""A search whose processes are killed goes on in its study and ends with the trials that were asked for.

What it finds does not depend on which of its processes is the first, nor on whether there are any.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.models import ENDED, Progress
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tuning.client import get_study, tune_model
from mlops_mcp.tools.tuning.models import Tuned, TuneRequest
from mlops_mcp.tools.tuning.scoring import Alone
from mlops_mcp.tools.tuning.storage import find_study

from ...waiting import eventually

pytestmark = pytest.mark.slow

TRIALS = 40


@pytest.fixture
def rows(tmp_path: Path) -> str:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=300), "z": draw.normal(size=300)})
    frame["y"] = (frame.x + draw.normal(size=300) > 0).astype(int)
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    return str(path)


async def test_a_search_that_is_killed_twice_ends_with_exactly_its_trials(settings: Settings, rows: str) -> None:
    runtime = settings.runtime.model_copy(update={"job_attempts": 3})
    jobs = Jobs(settings.model_copy(update={"runtime": runtime}))
    request = TuneRequest(dataset=rows, target="y", algorithm="LogisticRegression", folds=2, n_trials=TRIALS)
    row = await jobs.submit(Submission("tune_model", tune_model, request))
    reached = 0
    for attempt in (1, 2):
        reached = await killed_beyond(jobs, row.id, reached + 3, attempt)
    while (row := await jobs.get(row.id)).state not in ENDED:
        await asyncio.sleep(0.05)
    assert (row.state, row.attempt) == ("done", 3), row.error
    tuned = Tuned.model_validate_json(row.result or "")
    study = get_study(Work(settings, Tracer(lambda _span: None)), tuned.study)
    assert sum(study.states.values()) == TRIALS
    assert tuned.trials + tuned.pruned + tuned.failed == TRIALS
    assert tuned.failed == 0


class Wide(Alone):
    """As many points under way as three processes have, each scored when it is taken."""

    @property
    def width(self) -> int:
        return 6


async def test_a_process_of_trials_that_is_killed_costs_none_of_them(
    settings: Settings, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    optuna = settings.optuna.model_copy(update={"processes": 3})
    jobs = Jobs(settings.model_copy(update={"optuna": optuna}))
    request = TuneRequest(dataset=rows, target="y", algorithm="XGBoost", folds=2, n_trials=24, metric="auc")
    row = await jobs.submit(Submission("tune_model", tune_model, request))
    while not (members := members_of((row := await jobs.get(row.id)).pid)):
        assert row.state not in ENDED, row.error
        await asyncio.sleep(0.01)
    assert len(members) == 3
    members[0].kill()
    while (row := await jobs.get(row.id)).state not in ENDED:
        await asyncio.sleep(0.05)
    assert (row.state, row.attempt) == ("done", 1), row.error
    tuned = Tuned.model_validate_json(row.result or "")
    assert (tuned.trials + tuned.pruned, tuned.failed) == (24, 0)
    await eventually(lambda: not any(each.is_running() for each in members) or None)
    # The same search by this process alone, which scores nothing out of turn.
    work = Work(settings, Tracer(lambda _span: None))
    monkeypatch.setattr("mlops_mcp.tools.tuning.client.scoring_of", lambda objective, _crew: Wide(objective))
    again = tune_model(work, request.model_copy(update={"study": "again"}))
    assert said_of(work, tuned.study) == said_of(work, again.study)


def said_of(work: Work, study: str) -> list[tuple[dict[str, Any], str, float | None]]:
    return [(trial.params, trial.state.name, trial.value) for trial in find_study(work, study).trials]


def members_of(keeper: int) -> list[psutil.Process]:
    """The processes that score points: the keeper's child has a leader, whose children they are."""
    try:
        [child] = psutil.Process(keeper).children() if keeper else [None]
        [leader] = child.children() if child else [None]
        found = leader.children() if leader else []
    except (psutil.Error, ValueError):
        return []
    return found if len(found) == 3 else []


async def killed_beyond(jobs: Jobs, identity: str, trials: int, attempt: int) -> int:
    """Kill the keeper of an attempt, and with it the work, once so many trials have ended; how many had."""
    while True:
        row = await jobs.get(identity)
        assert row.state not in ENDED, row.error
        done = int(Progress.model_validate_json(row.progress).done) if row.progress else 0
        if row.pid and row.attempt == attempt and done >= trials:
            os.kill(row.pid, signal.SIGKILL)
            return done
        await asyncio.sleep(0.01)
