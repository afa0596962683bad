"""Six questions that data answer: which model, leak, rows; whom a mail moves, what tutoring adds, what is noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from . import data
from .agent import WAIT_S, Agent
from .task import Answer, Facts, Step, Task, World, between, look, near, number, same, text, written


async def two_algorithms(_agent: Agent, folder: Path) -> Facts:
    written(folder, "curved", data.curved(11, 1000))
    return {}


async def compare(agent: Agent, world: World) -> Answer:
    found = await agent.call(
        "compare_models", dataset=world.path("curved.csv"), target="y",
        candidates=["XGBoost", "LogisticRegression"], repeats=2, wait_s=WAIT_S,
    )  # fmt: skip
    (pair,) = found["pairs"]
    low, high = pair["difference"]["interval"]
    gain = pair["difference"]["value"]
    return {"better": pair["first"], "gain": gain, "low": low, "high": high, "comparison": found["comparison"]}


async def compared(steward: Agent, _world: World, answer: Answer) -> None:
    """The gain in AUC was found as .09 to .12 over other draws of the data; it is that of the comparison."""
    same("better", answer["better"], "XGBoost")
    between(answer, "gain", 0.05, 0.16)
    between(answer, "low", 1e-6, number(answer, "gain"))
    between(answer, "high", number(answer, "gain"), 0.25)
    found = await look(steward, "get_comparison", comparison=text(answer, "comparison"))
    same("what is compared", {each["candidate"] for each in found["candidates"]}, {"XGBoost", "LogisticRegression"})
    (pair,) = found["pairs"]
    low, high = pair["difference"]["interval"]
    for key, truth in (("gain", pair["difference"]["value"]), ("low", low), ("high", high)):
        near(answer, key, truth, 1e-3)


async def a_leak(_agent: Agent, folder: Path) -> Facts:
    written(folder, "churn", data.leaky(12))
    return {}


async def find_leak(agent: Agent, world: World) -> Answer:
    file = world.path("churn.csv")
    seen = await agent.call("describe_dataset", dataset=file, target="churned")
    (leak,) = [column["name"] for column in seen["columns"] if column.get("leak")]
    found = await agent.call(
        "train_model", dataset=file, target="churned", algorithm="LogisticRegression", exclude=[leak], wait_s=WAIT_S
    )
    return {"leak": leak, "auc": found["cross_validated"]["auc"], "run": found["run"]}


async def found_leak(steward: Agent, _world: World, answer: Answer) -> None:
    same("leak", answer["leak"], "closed_code")
    between(answer, "auc", 0.68, 0.82)
    run = await look(steward, "get_run", run=text(answer, "run"), names=["cross_validated_auc"])
    near(answer, "auc", run["metrics"]["cross_validated_auc"], 1e-3)


async def rules(_agent: Agent, folder: Path) -> Facts:
    written(folder, "orders", data.orders(13))
    return {}


def rule(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"type": f"expect_column_{kind}", "kwargs": arguments}


RULES = [
    rule("values_to_be_between", column="amount", min_value=0),
    rule("values_to_not_be_null", column="customer"),
    rule("values_to_be_unique", column="order_id"),
    rule("values_to_be_in_set", column="state", value_set=["paid", "open", "sent"]),
    rule("pair_values_a_to_be_greater_than_b", column_A="delivered", column_B="ordered", or_equal=True),
]


async def validate(agent: Agent, world: World) -> Answer:
    await agent.call("create_suite", name="order_rules", expectations=RULES)
    found = await agent.call("validate_dataset", dataset=world.path("orders.csv"), suite="order_rules")
    return {"broken": [each["unexpected"] for each in found["results"]]}


async def validated(steward: Agent, _world: World, answer: Answer) -> None:
    same("broken", answer["broken"], data.BROKEN)
    suite = await look(steward, "get_suite", suite="order_rules")
    same("rules of the suite", len(suite["expectations"]), 5)


async def a_mail(_agent: Agent, folder: Path) -> Facts:
    written(folder, "campaign", data.campaign(14))
    return {}


async def who_benefits(agent: Agent, world: World) -> Answer:
    found = await agent.call(
        "estimate_effect", dataset=world.path("campaign.csv"), treatment="mailed", outcome="bought", randomised=True,
        segments=["segment"], wait_s=WAIT_S,
    )  # fmt: skip
    low, high = found["effect"]["interval"]
    gains = [part["segment"] for part in found["segments"] if part["verdict"] == "above_baseline"]
    return {"segments": gains, "effect": found["effect"]["value"], "low": low, "high": high}


async def benefits(_steward: Agent, _world: World, answer: Answer) -> None:
    same("segments", answer["segments"], ["newcomer"])
    near(answer, "effect", 0.04, 0.02)
    between(answer, "low", 0.005, 0.04)
    between(answer, "high", 0.04, 0.08)


async def tutoring(_agent: Agent, folder: Path) -> Facts:
    written(folder, "schools", data.schools(15))
    return {}


async def adjust(agent: Agent, world: World) -> Answer:
    found = await agent.call(
        "estimate_effect", dataset=world.path("schools.csv"), treatment="tutored", outcome="score",
        controls=["quality", "ability"], cluster="school", wait_s=WAIT_S,
    )  # fmt: skip
    low, high = found["effect"]["interval"]
    naive = found["difference"]["value"]
    return {"effect": found["effect"]["value"], "low": low, "high": high, "naive": naive, "run": found["run"]}


async def adjusted(steward: Agent, world: World, answer: Answer) -> None:
    """The run tells what was taken into account: a number alone may be right for another reason."""
    rows = pd.read_csv(world.path("schools.csv")).groupby("tutored").score.mean()
    near(answer, "naive", rows[1] - rows[0], 0.01)
    near(answer, "effect", 4, 0.5)
    between(answer, "low", 3, 4)
    between(answer, "high", 4, 5)
    run = await look(steward, "get_run", run=text(answer, "run"))
    same("what is taken into account", {*run["params"].get("controls", "").split(", ")}, {"quality", "ability"})
    same("what is alike", run["params"].get("cluster"), "school")


async def a_coin(_agent: Agent, folder: Path) -> Facts:
    written(folder, "noise", data.noise(16))
    return {}


async def tune_noise(agent: Agent, world: World) -> Answer:
    found = await agent.call(
        "tune_model", dataset=world.path("noise.csv"), target="label", algorithm="LogisticRegression",
        study="coin", n_trials=25, wait_s=WAIT_S,
    )  # fmt: skip
    fit = found["score"]["verdict"] == "above_baseline"
    return {"fit": fit, "score": found["best_value"]}


async def tuned_noise(steward: Agent, _world: World, answer: Answer) -> None:
    same("fit", answer["fit"], False)
    study = await look(steward, "get_study", study="coin")
    same("trials", sum(study["states"].values()), 25)
    near(answer, "score", study["best"]["value"], 1e-3)


TASKS = (
    Task(
        "is XGBoost better than logistic regression",
        two_algorithms,
        (
            Step(
                "Is XGBoost better than logistic regression for y in {folder}/curved.csv? By how much AUC, and how "
                "sure is that (95 %)?",
                compare,
            ),
        ),
        compared,
        {
            "better": "algorithm",
            "gain": "difference of the AUCs",
            "low": "of its interval",
            "high": "of its interval",
            "comparison": "handle",
        },
        {"better": "LogisticRegression", "gain": 0.1, "low": 0.05, "high": 0.15, "comparison": "comparison:0"},
    ),
    Task(
        "find the leak, honest AUC",
        a_leak,
        (
            Step(
                "One column of {folder}/churn.csv gives away who has churned. Which? And what AUC has a logistic "
                "regression of churned without it, by cross-validation?",
                find_leak,
            ),
        ),
        found_leak,
        {"leak": "column", "auc": "number", "run": "handle of the run that trained it"},
        {"leak": "spend", "auc": 0.77, "run": "run:00000000000000000000000000000000"},
    ),
    Task(
        "five rules, how many rows break each",
        rules,
        (
            Step(
                "How many rows of {folder}/orders.csv break each of these rules, in this order: amount is not below 0; "
                "customer is there; order_id is unique (each row of a repeated one counts); state is paid, open or "
                "sent; delivered is not before ordered? Keep the rules as order_rules.",
                validate,
            ),
        ),
        validated,
        {"broken": "list of five numbers"},
        {"broken": [12, 9, 7, 15, 5]},
    ),
    Task(
        "effect of a randomised mail, who benefits",
        a_mail,
        (
            Step(
                "A coin decided who was mailed in {folder}/campaign.csv. How much does the mail add to the chance that "
                "somebody has bought (95 % interval)? In which values of segment is it shown to add anything?",
                who_benefits,
            ),
        ),
        benefits,
        {"segments": "list", "effect": "number", "low": "of its interval", "high": "of its interval"},
        {"segments": ["newcomer", "regular"], "effect": 0.04, "low": 0.02, "high": 0.06},
    ),
    Task(
        "effect, confounded, by school",
        tutoring,
        (
            Step(
                "What does tutoring (tutored) add to the score in {folder}/schools.csv, once quality and ability are "
                "taken into account? Pupils of one school are alike. And what would one think by the plain difference?",
                adjust,
            ),
        ),
        adjusted,
        {
            "effect": "number",
            "low": "of its 95 % interval",
            "high": "of it",
            "naive": "the plain difference",
            "run": "handle of the run that estimated it",
        },
        {"effect": 6.0, "low": 5.5, "high": 6.5, "naive": 6.0, "run": "run:00000000000000000000000000000000"},
    ),
    Task(
        "tuned on noise: production?",
        a_coin,
        (
            Step(
                "Tune a logistic regression for label on {folder}/noise.csv with 25 trials, as coin. What is the best "
                "score it finds, and is that fit for production?",
                tune_noise,
            ),
        ),
        tuned_noise,
        {"fit": "true or false", "score": "best value of the search"},
        {"fit": True, "score": 0.61},
    ),
)
