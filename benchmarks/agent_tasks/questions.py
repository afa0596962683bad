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
    gain = f"{pair['difference']['value']:.3f} [{low:.3f}, {high:.3f}]"
    return f"{pair['first']} is better than {pair['second']} by {gain}"


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


def rule(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"type": f"expect_column_{kind}", "kwargs": arguments}


RULES = [
    rule("values_to_be_between", column="amount", min_value=0),
    rule("values_to_not_be_null", column="customer"),
    rule("values_to_be_unique", column="order_id"),
    rule("values_to_be_in_set", column="state", value_set=["paid", "open", "sent"]),
    rule("pair_values_a_to_be_greater_than_b", column_A="delivered", column_B="ordered", or_equal=True),
]


async def how_many_rows_break_each_rule(agent: Agent, folder: Path) -> str:
    await agent.call("create_suite", name="orders", expectations=RULES)
    found = await agent.call("validate_dataset", dataset=written(folder, "orders", data.orders(13)), suite="orders")
    failed = [rule["unexpected"] for rule in found["results"]]
    assert failed == data.BROKEN, failed
    return f"rows that break each rule: {failed}"


async def who_benefits_from_the_mail(agent: Agent, folder: Path) -> str:
    found = await agent.call(
        "estimate_effect",
        dataset=written(folder, "campaign", data.campaign(14)),
        treatment="mailed",
        outcome="bought",
        randomised=True,
        segments=["segment"],
        wait_s=WAIT_S,
    )
    gains = [part["segment"] for part in found["segments"] if part["verdict"] == "above_baseline"]
    assert gains == ["newcomer"], found["segments"]
    low, high = found["effect"]["interval"]
    assert low < 0.04 < high, found["effect"]
    return f"the mail adds {found['effect']['value']:.3f} [{low:.3f}, {high:.3f}], among {gains[0]}s alone"


async def what_does_tutoring_add(agent: Agent, folder: Path) -> str:
    found = await agent.call(
        "estimate_effect",
        dataset=written(folder, "schools", data.schools(15)),
        treatment="tutored",
        outcome="score",
        controls=["quality", "ability"],
        cluster="school",
        wait_s=WAIT_S,
    )
    low, high = found["effect"]["interval"]
    assert low < 4 < high < found["difference"]["value"], found["effect"]
    assert found["balance"]["above_after"] == 0, found["balance"]
    naive = found["difference"]["value"]
    return f"tutoring adds {found['effect']['value']:.2f} [{low:.2f}, {high:.2f}], not {naive:.2f}"


async def is_the_tuned_model_fit_for_production(agent: Agent, folder: Path) -> str:
    found = await agent.call(
        "tune_model",
        dataset=written(folder, "noise", data.noise(16)),
        target="label",
        algorithm="LogisticRegression",
        n_trials=25,
        wait_s=WAIT_S,
    )
    verdict = found["score"]["verdict"]
    assert verdict == "not_distinguishable", found["score"]
    return f"no: the best of {found['trials']} trials is {verdict} from a guess"


async def what_was_known_at_the_visit(agent: Agent, folder: Path) -> str:
    asked, tests = data.visits(17)
    await agent.call(
        "register_features",
        dataset=written(folder, "tests", tests),
        view="laboratory",
        entity="patient",
        timestamp_column="measured_at",
        ttl_days=109,
    )
    found = await agent.call(
        "get_historical_features",
        dataset=written(folder, "visits", asked),
        features=["laboratory"],
        timestamp_column="seen_at",
    )
    expected = data.known_at_visit(asked, tests, 109)
    (added,) = found["added"]
    assert abs(added["missing"] - expected.isna().mean()) < 1e-6, (added, expected.isna().mean())
    assert abs(added["mean"] - expected.mean()) < 1e-5, (added, expected.mean())
    return f"{added['missing']:.1%} of the visits have no value, the mean of the others is {added['mean']:.3f}"


async def train_serve_predict_and_undo(agent: Agent, folder: Path) -> str:
    rows = data.curved(18)
    trained = await agent.call(
        "train_model", dataset=written(folder, "curved", rows), target="y", algorithm="XGBoost", wait_s=WAIT_S
    )
    version = await agent.call("register_model", model=trained["model"], name="curved")
    served = await agent.call("deploy_model", bento=version["model"], endpoint="curved", wait_s=WAIT_S)
    row = rows.drop(columns="y").head(1).to_dict("records")
    predicted = await agent.call("predict", endpoint="curved", rows=row)
    assert predicted["model"] == version["model"], predicted
    handles = [served["endpoint"], served["bento"], version["model"], trained["model"], trained["run"]]
    gone = await agent.call("delete", handle=handles, dry_run=False)
    assert gone["state"] == "deleted", gone
    return f"{predicted['predictions'][0]} by {predicted['model']}; then {len(handles)} things deleted"


async def promote_only_if_better(agent: Agent, folder: Path) -> str:
    rows = data.curved(19, 2400)
    train, test = written(folder, "seen", rows[:1200]), written(folder, "held", rows[1200:])
    said = list[str]()
    for algorithm in ("LogisticRegression", "XGBoost"):
        trained = await agent.call("train_model", dataset=train, target="y", algorithm=algorithm, wait_s=WAIT_S)
        found = await agent.call(
            "promote_model", model="curved", candidate=trained["model"], dataset=test, wait_s=WAIT_S
        )
        said.append(f"{algorithm}: {found['verdict']}")
    assert said == ["LogisticRegression: passed", "XGBoost: passed"], said
    return "; ".join(said)


async def what_drifted(agent: Agent, folder: Path) -> str:
    found = await agent.call(
        "compare_datasets",
        reference=written(folder, "may", data.month(20, shifted=False)),
        current=written(folder, "june", data.month(21, shifted=True)),
        wait_s=WAIT_S,
    )
    drifted = [column["column"] for column in found["columns"] if column["verdict"] == "drifted"]
    assert sorted(drifted) == ["channel", "height", "income"], drifted
    return f"{', '.join(drifted)} of {found['compared']} columns; {found['columns'][0]['change']}"


async def do_sixty_trials_end_as_sixty(agent: Agent, folder: Path) -> str:
    search = {
        "dataset": written(folder, "curved", data.curved(22, 600)),
        "target": "y",
        "algorithm": "LogisticRegression",
    }
    first = await agent.call("tune_model", study="sixty", n_trials=35, **search, wait_s=WAIT_S)
    second = await agent.call("tune_model", study="sixty", n_trials=60, **search, wait_s=WAIT_S)
    kept = await agent.call("get_study", study="sixty")
    trials = sum(kept["states"].values())
    assert (second["trials_before"], trials) == (35, 60), (first, second, kept)
    return f"{trials} in all, of which {second['trials_before']} were there before"


async def a_model_without_the_tracking_server(agent: Agent, folder: Path) -> str:
    rows = data.curved(23)
    train, test = written(folder, "seen", rows[:1000]), written(folder, "held", rows[1000:])
    trained = await agent.call("train_model", dataset=train, target="y", algorithm="XGBoost", wait_s=WAIT_S)
    assert trained.get("run") is None, trained
    scored = await agent.call("evaluate_model", model=trained["model"], dataset=test, wait_s=WAIT_S)
    refused = await agent.refused("register_model", model=trained["model"], name="later")
    assert "log_model" in refused, refused
    return f"{trained['model']}, AUC {scored['score']['value']:.3f}, to be logged later"


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
