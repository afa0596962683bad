"""A search whose process is killed goes on in its study and ends with the trials that were asked for."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.models import ENDED, Progress
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tuning.client import get_study, tune_model
from mlops_mcp.tools.tuning.models import Tuned, TuneRequest

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
