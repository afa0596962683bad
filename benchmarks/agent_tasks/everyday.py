"""Six tasks of every day: a join in time, a service and its end, a promotion, drift, a search, no tracking server."""

from __future__ import annotations

from pathlib import Path

from . import data
from .agent import WAIT_S, Agent
from .judgement import trained
from .task import (
    Answer,
    Facts,
    Limits,
    Step,
    Task,
    World,
    Wrong,
    between,
    history_of,
    look,
    near,
    same,
    text,
    written,
)


async def visits(_agent: Agent, folder: Path) -> Facts:
    asked, tests = data.visits(17)
    written(folder, "tests", tests)
    written(folder, "visits", asked)
    expected = data.known_at_visit(asked, tests, 109)
    return {"missing": float(expected.isna().mean()), "mean": float(expected.mean()), "rows": len(asked)}


async def join(agent: Agent, world: World) -> Answer:
    await agent.call(
        "register_features", dataset=world.path("tests.csv"), view="laboratory", entity="patient",
        timestamp_column="measured_at", ttl_days=109,
    )  # fmt: skip
    found = await agent.call(
        "get_historical_features", dataset=world.path("visits.csv"), features=["laboratory"],
        timestamp_column="seen_at",
    )  # fmt: skip
    (added,) = found["added"]
    return {"missing": added["missing"], "mean": added["mean"], "dataset": found["dataset"]}


async def joined(steward: Agent, world: World, answer: Answer) -> None:
    """The rows that were left prove the numbers: one has the value of each visit, and they come of both files."""
    near(answer, "missing", world.facts["missing"], 1e-4)
    near(answer, "mean", world.facts["mean"], 1e-3)
    handle, files = text(answer, "dataset"), {f"file:{world.path(name)}" for name in ("visits.csv", "tests.csv")}
    history = await history_of(steward, handle)
    if lacking := files - {edge["parent"] for edge in history["ancestors"]}:
        raise Wrong(f"the dataset does not come of {', '.join(sorted(lacking))}")
    seen = await look(steward, "describe_dataset", dataset=handle)
    same("rows", seen["rows"], world.facts["rows"])
    shares = [each["missing"] / seen["rows"] for each in seen["columns"] if each.get("mean") is not None]
    if not any(abs(share - world.facts["missing"]) < 1e-4 for share in shares):
        raise Wrong("no column of the dataset lacks as many values as are not known")


async def a_model_to_serve(_agent: Agent, folder: Path) -> Facts:
    rows = data.one_sided(18, 600, ("temperature", "sold"))
    written(folder, "kiosk", rows)
    return {"chance": float(rows.sold[rows.temperature.between(1.6, 2.4)].mean())}


async def serve_and_undo(agent: Agent, world: World) -> Answer:
    made = await agent.call(
        "train_model", dataset=world.path("kiosk.csv"), target="sold", algorithm="LogisticRegression", wait_s=WAIT_S
    )
    version = await agent.call("register_model", model=made["model"], name="kiosk")
    served = await agent.call("deploy_model", bento=version["model"], endpoint="kiosk", wait_s=WAIT_S)
    said = await agent.call("predict", endpoint="kiosk", rows=[{"temperature": 2.0}])
    handles = [served["endpoint"], served["bento"], version["model"], made["model"], made["run"]]
    await agent.call("delete", handle=handles, dry_run=False)
    return {"probability": said["probabilities"][0][1]}


async def served_and_undone(steward: Agent, world: World, answer: Answer) -> None:
    near(answer, "probability", world.facts["chance"], 0.1)
    history = await history_of(steward, f"file:{world.path('kiosk.csv')}")
    gone = set(history["deleted"])
    made = {edge["child"] for edge in history["descendants"]} - {edge["parent"] for edge in history["descendants"]}
    if "endpoint:kiosk" not in gone | made:
        raise Wrong("nothing was served")
    left = [each["name"] for each in (await steward.call("list_models", limit=100))["items"]]
    left += [each["endpoint"] for each in (await steward.call("list_endpoints", limit=100))["items"]]
    if {"kiosk", "endpoint:kiosk"} & set(left):
        raise Wrong(f"something is left: {left}")


async def two_candidates(agent: Agent, folder: Path) -> Facts:
    rows = data.curved(19, 2000)
    file = written(folder, "seen", rows[:1000])
    written(folder, "held", rows[1000:])
    boosted = await agent.call("train_model", dataset=file, target="y", algorithm="XGBoost", wait_s=WAIT_S)
    return {"straight": await trained(agent, file, "y"), "boosted": boosted["model"]}


async def promote(agent: Agent, world: World) -> Answer:
    for candidate in (world.facts["straight"], world.facts["boosted"]):
        found = await agent.call(
            "promote_model", model="curved", candidate=candidate, dataset=world.path("held.csv"), wait_s=WAIT_S
        )
    return {"promoted": found["verdict"] == "passed", "gain": found["comparison"]["gain"]["value"]}


async def promoted(steward: Agent, world: World, answer: Answer) -> None:
    same("promoted", answer["promoted"], True)
    between(answer, "gain", 0.03, 0.2)
    model = await look(steward, "get_model", model="curved")
    serving = [each["source"] for each in model["versions"] if each["stage"] == "Production"]
    same("what is in Production", serving, [world.facts["boosted"]])


async def two_months(_agent: Agent, folder: Path) -> Facts:
    may, june = data.month(20, shifted=False), data.month(21, shifted=True)
    written(folder, "may", may)
    written(folder, "june", june)
    return {"missing": float(june.income.isna().mean())}


async def drift(agent: Agent, world: World) -> Answer:
    found = await agent.call(
        "compare_datasets", reference=world.path("may.csv"), current=world.path("june.csv"), wait_s=WAIT_S
    )
    drifted = sorted(each["column"] for each in found["columns"] if each["verdict"] == "drifted")
    income = await agent.call("describe_dataset", dataset=world.path("june.csv"), columns=["income"])
    return {"columns": drifted, "missing": income["columns"][0]["missing"] / income["rows"]}


async def drifted(_steward: Agent, world: World, answer: Answer) -> None:
    columns = answer["columns"]
    same(
        "columns", sorted(map(str, columns)) if isinstance(columns, list) else columns, ["channel", "height", "income"]
    )
    near(answer, "missing", world.facts["missing"], 1e-3)


async def a_short_search(agent: Agent, folder: Path) -> Facts:
    await agent.call(
        "tune_model", dataset=written(folder, "sixty", data.curved(22, 400)), target="y",
        algorithm="LogisticRegression", study="sixty", n_trials=35, wait_s=WAIT_S,
    )  # fmt: skip
    return {}


async def search_on(agent: Agent, world: World) -> Answer:
    found = await agent.call(
        "tune_model", dataset=world.path("sixty.csv"), target="y", algorithm="LogisticRegression", study="sixty",
        n_trials=60, wait_s=WAIT_S,
    )  # fmt: skip
    study = await agent.call("get_study", study="sixty")
    return {"before": found["trials_before"], "trials": sum(study["states"].values()), "best": study["best"]["value"]}


async def searched_on(steward: Agent, _world: World, answer: Answer) -> None:
    study = await steward.call("get_study", study="sixty")
    same("trials of the study", sum(study["states"].values()), 60)
    same("before", answer["before"], 35)
    same("trials", answer["trials"], 60)
    near(answer, "best", study["best"]["value"], 1e-4)


async def no_tracking(_agent: Agent, folder: Path) -> Facts:
    rows = data.one_sided(23, 1000, ("signal", "y"))
    written(folder, "signal", rows[:600])
    written(folder, "signal_held", rows[600:])
    return {"auc": data.auc(rows.signal[600:], rows.y[600:])}


async def keep_it_here(agent: Agent, world: World) -> Answer:
    model = await trained(agent, world.path("signal.csv"), "y")
    scored = await agent.call("evaluate_model", model=model, dataset=world.path("signal_held.csv"), wait_s=WAIT_S)
    refused = await agent.refused("register_model", model=model, name="later")
    return {"model": model, "auc": scored["score"]["value"], "registered": "log_model" not in refused}


async def kept_here(steward: Agent, world: World, answer: Answer) -> None:
    same("registered", answer["registered"], False)
    near(answer, "auc", world.facts["auc"], 0.005)
    history = await history_of(steward, text(answer, "model"))
    if world.path("signal.csv") not in str(history["ancestors"]):
        raise Wrong("the model was not trained on the file")


TASKS = (
    Task(
        "as-of join, at most 109 days",
        visits,
        (
            Step(
                "For each visit in {folder}/visits.csv (patient, seen_at), what was the newest marker in "
                "{folder}/tests.csv (patient, measured_at) at that time, at most 109 days old? Which share of the "
                "visits has none, and what is the mean of the others? Leave the visits with their markers as a "
                "dataset.",
                join,
            ),
        ),
        joined,
        {"missing": "share", "mean": "number", "dataset": "handle"},
        {"missing": 0.1, "mean": 5.0, "dataset": "dataset:visits@000000000000"},
    ),
    Task(
        "train, register, serve, predict, undo",
        a_model_to_serve,
        (
            Step(
                "Train a logistic regression for sold on {folder}/kiosk.csv, register it as kiosk, serve it as kiosk, "
                "and ask it for the probability that something is sold at a temperature of 2. Then take all of that "
                "away again: the service, the version, the model and its run.",
                serve_and_undo,
            ),
        ),
        served_and_undone,
        {"probability": "number"},
        {"probability": 0.5},
        limits=Limits(calls=15),
    ),
    Task(
        "promote the second only if better",
        two_candidates,
        (
            Step(
                "Put {straight} into Production as curved, if {folder}/held.csv speaks for it; then {boosted}, but "
                "only if it is shown to be better there. Was it, and by how much AUC?",
                promote,
            ),
        ),
        promoted,
        {"promoted": "true or false: the second", "gain": "difference of the AUCs"},
        {"promoted": False, "gain": 0.0},
    ),
    Task(
        "what drifted",
        two_months,
        (
            Step(
                "Which columns of {folder}/june.csv have drifted since {folder}/may.csv? And which share of the "
                "incomes of June is missing?",
                drift,
            ),
        ),
        drifted,
        {"columns": "list of names", "missing": "share"},
        {"columns": ["height", "score"], "missing": 0.2},
    ),
    Task(
        "sixty trials, thirty-five are there",
        a_short_search,
        (
            Step(
                "The search sixty over {folder}/sixty.csv (target y, LogisticRegression) was cut short. Bring it to 60 "
                "trials in all. How many were there before?",
                search_on,
            ),
        ),
        searched_on,
        {"before": "number", "trials": "number in all", "best": "best value"},
        {"before": 35, "trials": 60, "best": 0.99},
    ),
    Task(
        "tracking server down",
        no_tracking,
        (
            Step(
                "Train a logistic regression for y on {folder}/signal.csv, tell me its AUC on "
                "{folder}/signal_held.csv, and register it as later. If something is down, do what can be done.",
                keep_it_here,
            ),
        ),
        kept_here,
        {"model": "handle", "auc": "number", "registered": "true or false"},
        {"model": "model:later/1", "auc": 0.9, "registered": True},
        settings={"MLOPS_MLFLOW__TRACKING_URI": "http://127.0.0.1:9"},
    ),
)
