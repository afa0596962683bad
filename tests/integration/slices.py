"""The calls with which tests of missing and dead things ask every slice, and the folder they find."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from mcp import Client

from mlops_mcp.config.load import load

from ..conftest import PATIENT, connected

ROWS = "synthetic_e2i_classification"
Call = tuple[str, dict[str, Any]]

# One that is left to Great Expectations.
RULE = {"type": "expect_column_median_to_be_between", "kwargs": {"column": "hcp_id", "min_value": 1}}
JOB = {"wait_s": 50}
RUN: Call = ("start_run", {"name": "r"})
MODELS: Call = ("list_models", {})
EVALUATE: Call = ("evaluate_model", {"model": "model:tree/1", "dataset": ROWS, **JOB})
PACKAGE: Call = ("package_model", {"model": "model:tree/1", "name": "fresh", **JOB})
DEPLOY: Call = ("deploy_model", {"bento": "model:tree/1", "endpoint": "e", **JOB})
SUITE: Call = ("create_suite", {"name": "s", "expectations": [RULE]})
VALIDATE: Call = ("validate_dataset", {"dataset": ROWS, "suite": "e2i_classification_suite"})
VIEW: Call = (
    "register_features",
    {"dataset": ROWS, "view": "calls", "entity": "hcp_id", "timestamp_column": "observation_date"},
)
FEATURES: Call = ("list_features", {})
MATERIALIZE: Call = ("materialize_features", JOB)
STUDY: Call = ("get_study", {"study": "study:search"})
TUNE: Call = (
    "tune_model",
    {"dataset": ROWS, "target": "target", "algorithm": "LogisticRegression", "n_trials": 1, **JOB},
)
EXPLAIN: Call = ("explain_prediction", {"model": "model:tree/1", "dataset": ROWS, "index": 1})
EFFECT: Call = (
    "estimate_effect",
    {"dataset": ROWS, "treatment": "treatment", "outcome": "outcome", "controls": ["patient_volume"], **JOB},
)
JOBS: Call = ("list_jobs", {})
TRACES: Call = ("search_traces", {})

# Slice -> a call that must work whenever what it stands on is there.
WORKS: Mapping[str, Call] = {
    "data": ("describe_dataset", {"dataset": ROWS}),
    "quality": VALIDATE,
    "features": FEATURES,
    "tracking": RUN,
    "registry": MODELS,
    "training": ("list_algorithms", {}),
    "tuning": STUDY,
    "explain": EXPLAIN,
    "serving": ("list_endpoints", {}),
    "jobs": JOBS,
    "observability": TRACES,
}


def train(algorithm: str) -> Call:
    few = {"n_estimators": 10}
    return (
        "train_model",
        {"dataset": ROWS, "target": "target", "algorithm": algorithm, "params": few, "exclude": ["hcp_id"], **JOB},
    )


class Answers:
    """What a server answers to calls."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ask(self, call: Call) -> tuple[bool, str, Any]:
        """Whether it failed, what it said and what it made; a job is followed to its end."""
        result = await self._client.call_tool(*call)
        made = result.structured_content or {}
        if made.get("state") in ("queued", "running") and call[0] != "cancel_job":
            return await self.ask(("get_job", {"job": made["job"], "wait_s": 50}))
        return bool(result.is_error), str(result.content), made

    async def refuse(self, call: Call, *words: str) -> None:
        failed, text, _ = await self.ask(call)
        assert failed, f"{call[0]} succeeded: {text[:300]}"
        assert [word for word in words if word not in text] == [], f"{call[0]}: {text[:600]}"

    async def succeed(self, *calls: Call) -> None:
        answers = [(call[0], await self.ask(call)) for call in calls]
        assert {name: text[:400] for name, (failed, text, _) in answers if failed} == {}


def server(home: Path, **variables: str) -> AbstractAsyncContextManager[Client]:
    """A server in this process: its workers and jobs are forked from libraries that are loaded once for all tests."""
    return connected(load({"MLOPS_HOME": str(home), "MLOPS_CONFIG": os.devnull, **PATIENT, **variables}).settings)


async def prepare(home: Path) -> None:
    async with server(home) as client:
        answers = Answers(client)
        await answers.succeed(("generate_dataset", {"n_rows": 300}), VIEW)
        *_, trained = await answers.ask(train("RandomForest"))
        await answers.succeed(("register_model", {"model": trained["result"]["model"], "name": "tree"}))
        tool, arguments = TUNE
        await answers.succeed((tool, {**arguments, "study": "search"}))


def others(*slices: str) -> list[Call]:
    return [call for name, call in WORKS.items() if name not in slices]
