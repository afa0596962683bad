"""Twelve questions, each with the shortest way to its answer that an agent can take, held against what is true."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from . import data
from .agent import WAIT_S, Agent

Answer = Callable[[Agent, Path], Awaitable[str]]


@dataclass(frozen=True)
class Question:
    """`answer` raises AssertionError where what the tools said is not what is true of the data."""

    title: str
    answer: Answer
    settings: dict[str, str] = field(default_factory=dict)


def written(folder: Path, name: str, frame: pd.DataFrame) -> str:
    frame.to_csv(folder / f"{name}.csv", index=False)
    return f"{name}.csv"


async def which_model_is_better(agent: Agent, folder: Path) -> str:
    found = await agent.call(
        "compare_models",
        dataset=written(folder, "curved", data.curved(11)),
        target="y",
        candidates=["XGBoost", "LogisticRegression"],
        repeats=2,
        wait_s=WAIT_S,
    )
    (pair,) = found["pairs"]
    assert pair["difference"]["verdict"] == "better", pair
    low, high = pair["difference"]["interval"]
    return f"{pair['first']} is better than {pair['second']} by {pair['difference']['value']:.3f} [{low:.3f}, {high:.3f}]"


async def where_is_the_leak(agent: Agent, folder: Path) -> str:
    file = written(folder, "churn", data.leaky(12))
    seen = await agent.call("describe_dataset", dataset=file, target="churned")
    leaks = [column["name"] for column in seen["columns"] if column.get("leak")]
    assert leaks == ["closed_code"], leaks
    trained = await agent.call(
        "train_model", dataset=file, target="churned", algorithm="LogisticRegression", exclude=leaks, wait_s=WAIT_S
    )
    auc = trained["cross_validated"]["auc"]
    assert 0.68 < auc < 0.82, auc
    return f"{leaks[0]} leaks; without it the AUC is {auc:.3f}"


RULES: list[dict[str, Any]] = [
    {"type": "expect_column_values_to_be_between", "column": "amount", "min_value": 0},
    {"type": "expect_column_values_to_not_be_null", "column": "customer"},
    {"type": "expect_column_values_to_be_unique", "column": "order_id"},
    {"type": "expect_column_values_to_be_in_set", "column": "state", "value_set": ["paid", "open", "sent"]},
    {
        "type": "expect_column_pair_values_a_to_be_greater_than_b",
        "column_A": "delivered",
        "column_B": "ordered",
        "or_equal": True,
    },
]


async def how_many_rows_break_each_rule(agent: Agent, folder: Path) -> str:
    await agent.call("create_suite", name="orders", rules=RULES)
    found = await agent.call(
        "validate_dataset", dataset=written(folder, "orders", data.orders(13)), suite="orders", wait_s=WAIT_S
    )
    failed = [rule["unexpected"] for rule in found["results"]]
    assert failed[0] == 12 and failed[1] == 9 and failed[3] == 15 and failed[4] == 5, failed
    return f"rows that break each rule: {failed}"


async def who_benefits_from_the_mail(agent: Agent, folder: Path) -> str:
    found = await agent.call(
        "estimate_effect",
        dataset=written(folder, "campaign", data.campaign(14)),
        treatment="mailed",
        outcome="bought",
        randomised=True,
        by=["segment"],
        wait_s=WAIT_S,
    )
    return str(found)


async def what_does_tutoring_add(agent: Agent, folder: Path) -> str:
    found = await agent.call(
        "estimate_effect",
        dataset=written(folder, "schools", data.schools(15)),
        treatment="tutored",
        outcome="score",
        confounders=["quality", "ability"],
        cluster="school",
        wait_s=WAIT_S,
    )
    return str(found)


async def is_the_tuned_model_fit_for_production(agent: Agent, folder: Path) -> str:
    found = await agent.call(
        "tune_model",
        dataset=written(folder, "noise", data.noise(16)),
        target="label",
        algorithm="XGBoost",
        n_trials=25,
        wait_s=WAIT_S,
    )
    return str(found)


async def what_was_known_at_the_visit(agent: Agent, folder: Path) -> str:
    asked, tests = data.visits(17)
    await agent.call(
        "register_features",
        dataset=written(folder, "tests", tests),
        view="laboratory",
        entity="patient",
        timestamp="measured_at",
        ttl_days=109,
        wait_s=WAIT_S,
    )
    found = await agent.call(
        "get_historical_features",
        dataset=written(folder, "visits", asked),
        views=["laboratory"],
        timestamp="seen_at",
        wait_s=WAIT_S,
    )
    return str(found)


async def train_serve_predict_and_undo(agent: Agent, folder: Path) -> str:
    return ""


async def promote_only_if_better(agent: Agent, folder: Path) -> str:
    return ""


async def what_drifted(agent: Agent, folder: Path) -> str:
    found = await agent.call(
        "compare_datasets",
        reference=written(folder, "may", data.month(20, shifted=False)),
        current=written(folder, "june", data.month(21, shifted=True)),
        wait_s=WAIT_S,
    )
    return str(found)


async def do_sixty_trials_end_as_sixty(agent: Agent, folder: Path) -> str:
    return ""


async def a_model_without_the_tracking_server(agent: Agent, folder: Path) -> str:
    return ""


DEAD_SERVER = {"MLOPS_MLFLOW__TRACKING_URI": "http://127.0.0.1:9"}
QUESTIONS = (
    Question("is XGBoost better than logistic regression", which_model_is_better),
    Question("find the leak, honest AUC", where_is_the_leak),
    Question("five rules, how many rows break each", how_many_rows_break_each_rule),
    Question("effect of a randomised mail, who benefits", who_benefits_from_the_mail),
    Question("effect, confounded, by school", what_does_tutoring_add),
    Question("tuned on noise: production?", is_the_tuned_model_fit_for_production),
    Question("as-of join, at most 109 days", what_was_known_at_the_visit),
    Question("train, register, serve, predict, undo", train_serve_predict_and_undo),
    Question("promote the second only if better", promote_only_if_better),
    Question("what drifted", what_drifted),
    Question("60 trials, killed on the way", do_sixty_trials_end_as_sixty),
    Question("tracking server down", a_model_without_the_tracking_server, DEAD_SERVER),
)
