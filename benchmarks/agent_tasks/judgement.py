"""Six tasks in which somebody decides on a model: by group, cost, rank or repetition, after and beside others."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from . import data
from .agent import WAIT_S, Agent
from .task import Answer, Facts, Step, Task, World, Wrong, first, history_of, look, near, number, same, text, written


async def trained(agent: Agent, file: str, target: str, **more: object) -> str:
    found = await agent.call(
        "train_model", dataset=file, target=target, algorithm="LogisticRegression", wait_s=WAIT_S, **more
    )
    return str(found["model"])


async def three_branches(agent: Agent, folder: Path) -> Facts:
    model = await trained(agent, written(folder, "loans", data.branches(41)), "defaulted", exclude=["branch"])
    rows = data.branches(42)
    written(folder, "new_loans", rows)
    found = {str(name): data.auc(part.score, part.defaulted) for name, part in rows.groupby("branch")}
    return {"model": model, "worst": found["harbour"], "best": max(found.values())}


async def by_branch(agent: Agent, world: World) -> Answer:
    found = await agent.call(
        "evaluate_model", model=world.facts["model"], dataset=world.path("new_loans.csv"), by="branch", wait_s=WAIT_S
    )
    values = {part["rows"]: part["score"]["value"] for part in found["slices"]}
    worst = min(values, key=lambda name: float(values[name]))
    return {"branch": worst, "auc": values[worst], "best_auc": max(values.values())}


async def judged_by_branch(_steward: Agent, world: World, answer: Answer) -> None:
    same("branch", answer["branch"], "harbour")
    near(answer, "auc", world.facts["worst"], 0.002)
    near(answer, "best_auc", world.facts["best"], 0.002)


MISS = 12


async def dear_misses(agent: Agent, folder: Path) -> Facts:
    model = await trained(agent, written(folder, "claims", data.one_sided(43, 800, ("oddness", "fraud"))), "fraud")
    rows = data.one_sided(44, 800, ("oddness", "fraud"))
    written(folder, "new_claims", rows)
    return {"model": model, "least": data.least_cost(rows.oddness, rows.fraud, MISS)}


async def by_cost(agent: Agent, world: World) -> Answer:
    found = await agent.call(
        "evaluate_model", model=world.facts["model"], dataset=world.path("new_claims.csv"), at={"cost": MISS},
        wait_s=WAIT_S,
    )  # fmt: skip
    best = next(each for each in found["thresholds"] if each["why"] == "least cost")
    return {"threshold": best["threshold"], "cost": best["cost"]}


async def judged_by_cost(steward: Agent, world: World, answer: Answer) -> None:
    near(answer, "cost", world.facts["least"], 0.002)
    threshold = number(answer, "threshold")
    if not 0 < threshold < 1:
        raise Wrong(f"no threshold: {threshold}")
    found = await steward.call(
        "evaluate_model", model=world.facts["model"], dataset=world.path("new_claims.csv"), log=False, wait_s=WAIT_S,
        at={"cost": MISS, "threshold": threshold},
    )  # fmt: skip
    costs = [each["cost"] for each in found["thresholds"] if abs(each["threshold"] - threshold) < 1e-6]
    if not costs or min(costs) > world.facts["least"] + 0.01:
        raise Wrong(f"the threshold costs {costs}, not {world.facts['least']:.4f}")


async def a_batch(agent: Agent, folder: Path) -> Facts:
    model = await trained(agent, written(folder, "bought", data.one_sided(45, 600, ("interest", "bought"))), "bought")
    version = await agent.call("register_model", model=model, name="buyers")
    await agent.call("transition_stage", model=version["model"], stage="Production")
    rows = data.one_sided(46, 3000, ("interest", "bought")).drop(columns="bought")
    rows = rows.assign(interest=rows.interest + rows.index * 1e-9, customer=rows.index * 7 + 11)
    written(folder, "customers", rows)
    chosen = rows.nlargest(100, "interest")
    return {"customers": int(chosen.customer.sum()), "first": int(chosen.customer.iloc[0])}


async def hundred_best(agent: Agent, world: World) -> Answer:
    scored = await agent.call(
        "predict_dataset", model="model:buyers@production", dataset=world.path("customers.csv"),
        columns=["customer"], wait_s=WAIT_S,
    )  # fmt: skip
    sql = f'SELECT customer, probability_1 AS probability FROM "{scored["dataset"]}" ORDER BY 2 DESC LIMIT 100'
    made = await agent.call("query_dataset", sql=sql, name="hundred_buyers")
    return {"dataset": made["dataset"], "first": first(made)["customer"]}


async def hundred_scored(steward: Agent, world: World, answer: Answer) -> None:
    same("first", answer["first"], world.facts["first"])
    handle = text(answer, "dataset")
    if "predict_dataset" not in {edge["by"] for edge in (await history_of(steward, handle))["ancestors"]}:
        raise Wrong("the dataset holds no predictions")
    sql = f'SELECT count(*) AS n, sum(customer)::BIGINT AS total, min(probability) AS low FROM "{handle}"'
    found = first(await look(steward, "query_dataset", sql=sql))
    same("rows and sum of customers", (found["n"], found["total"]), (100, world.facts["customers"]))


async def an_old_run(agent: Agent, folder: Path) -> Facts:
    """A run, and its file as it was changed since."""
    rows = data.feedback(47)
    made = await agent.call(
        "train_model", dataset=written(folder, "survey", rows), target="resigned", algorithm="LogisticRegression",
        exclude=["exit_interview"], wait_s=WAIT_S,
    )  # fmt: skip
    written(folder, "survey", rows.sample(frac=0.5, random_state=1).assign(overtime=0.0))
    return {"run": made["run"], "model": made["model"], "auc": made["cross_validated"]["auc"]}


async def repeat(agent: Agent, world: World) -> Answer:
    found = await agent.call("reproduce_run", run=world.facts["run"], wait_s=WAIT_S)
    run = await agent.call("get_run", run=found["again"], names=["cross_validated_auc"])
    return {"identical": found["identical"], "auc": run["metrics"]["cross_validated_auc"], "model": found["model"]}


async def repeated(steward: Agent, world: World, answer: Answer) -> None:
    same("identical", answer["identical"], True)
    near(answer, "auc", world.facts["auc"], 1e-4)
    made = text(answer, "model")
    history = await history_of(steward, world.facts["model"])
    if not any(edge["by"] == "reproduce_run" and edge["child"] == made for edge in history["descendants"]):
        raise Wrong(f"{made} is no repetition of {world.facts['model']}")


async def two_files(_agent: Agent, folder: Path) -> Facts:
    rows, later = data.feedback(48), data.feedback(49)
    written(folder, "staff", rows)
    written(folder, "staff_later", later)
    return {}


async def train_and_leave(agent: Agent, world: World) -> Answer:
    model = await trained(agent, world.path("staff.csv"), "resigned", exclude=["exit_interview"])
    said = "Without exit_interview, which is known only afterwards. Next: put it into Production if it beats a guess."
    version = await agent.call("register_model", model=model, name="resignations", description=said)
    return {"version": version["model"], "auc": 0.0, "columns": []}


async def take_over(agent: Agent, world: World) -> Answer:
    left = await agent.call("get_model", model="resignations")
    version = left["versions"][0]
    found = await agent.call(
        "promote_model", model="resignations", candidate=version["model"], dataset=world.path("staff_later.csv"),
        gates=["load", "signature", "comparison"], wait_s=WAIT_S,
    )  # fmt: skip
    columns = [each["name"] for each in left["inputs"]]
    return {"version": version["model"], "auc": found["comparison"]["candidate_score"], "columns": columns}


async def taken_over(steward: Agent, world: World, answer: Answer) -> None:
    rows = pd.read_csv(world.path("staff_later.csv"))
    same("version", answer["version"], "model:resignations/1")
    near(answer, "auc", data.auc(rows.overtime, rows.resigned), 0.02)
    model = await look(steward, "get_model", model="resignations")
    found = [(each["model"], each["stage"]) for each in model["versions"]]
    same("what is registered", found, [("model:resignations/1", "Production")])
    columns = sorted(each["name"] for each in model["inputs"])
    same("columns of the model", columns, ["commute", "overtime"])
    if not isinstance(answer["columns"], list) or sorted(map(str, answer["columns"])) != columns:
        raise Wrong(f"columns are {answer['columns']!r}, not {columns}")


async def a_shared_file(_agent: Agent, folder: Path) -> Facts:
    written(folder, "shared", data.curved(50, 300))
    return {}


async def search_beside(agent: Agent, world: World) -> Answer:
    await agent.call(
        "tune_model", dataset=world.path("shared.csv"), target="y", algorithm="LogisticRegression", study="beside",
        n_trials=14, wait_s=WAIT_S,
    )  # fmt: skip
    study = await agent.call("get_study", study="beside")
    return {"trials": sum(study["states"].values()), "best": study["best"]["value"]}


async def searched_once(steward: Agent, _world: World, answer: Answer) -> None:
    same("trials", answer["trials"], 14)
    study = await look(steward, "get_study", study="beside")
    same("trials of the study", sum(study["states"].values()), 14)
    near(answer, "best", study["best"]["value"], 1e-4)


TASKS = (
    Task(
        "fairness by group",
        three_branches,
        (
            Step(
                "Is the model {model} equally good for the customers of each branch in {folder}/new_loans.csv? Name "
                "the branch for which it is worst, its AUC, and the AUC of the branch for which it is best.",
                by_branch,
            ),
        ),
        judged_by_branch,
        {"branch": "name", "auc": "number", "best_auc": "number"},
        {"branch": "station", "auc": 0.81, "best_auc": 0.83},
    ),
    Task(
        "cost threshold",
        dear_misses,
        (
            Step(
                "A fraud that is missed costs us 12, a false alarm 1. From which probability on should the model "
                "{model} raise an alarm, judged on {folder}/new_claims.csv, and what does that cost per claim?",
                by_cost,
            ),
        ),
        judged_by_cost,
        {"threshold": "probability", "cost": "cost per claim"},
        {"threshold": 0.5, "cost": 0.31},
    ),
    Task(
        "batch scoring",
        a_batch,
        (
            Step(
                "Score {folder}/customers.csv by the version of buyers that is in Production, and leave the hundred "
                "most likely buyers as a dataset of the columns customer and probability, the most likely first.",
                hundred_best,
            ),
        ),
        hundred_scored,
        {"dataset": "handle", "first": "number of the most likely customer"},
        {"dataset": "dataset:customers@000000000000", "first": 11},
    ),
    Task(
        "reproduce a run",
        an_old_run,
        (
            Step(
                "The file behind {run} was overwritten since. Make its model once more from what that run was trained "
                "on. Is it the same to the bit, what is its cross-validated AUC, and which model is it?",
                repeat,
            ),
        ),
        repeated,
        {"identical": "true or false", "auc": "number", "model": "handle of the new model"},
        {"identical": False, "auc": 0.7, "model": "models:/m-00000000000000000000000000000000"},
    ),
    Task(
        "hand-over between agents",
        two_files,
        (
            Step(
                "Train a logistic regression for resigned on {folder}/staff.csv and register it as resignations. "
                "exit_interview is known only of those who have left, so leave it out. A colleague will go on: write "
                "into the version's description what is to be known and done.",
                train_and_leave,
                "model_trainer",
            ),
            Step(
                "A colleague has left you a model called resignations. Read what is said of it, and do it; rows that "
                "it has not seen are in {folder}/staff_later.csv. Which version is in Production now, what is its AUC "
                "on those rows, and which columns does it take?",
                take_over,
                "model_deployer",
            ),
        ),
        taken_over,
        {"version": "handle", "auc": "number or 0", "columns": "list of names, or empty"},
        {"version": "model:resignations/1", "auc": 0.99, "columns": ["overtime", "commute", "exit_interview"]},
    ),
    Task(
        "two agents at once",
        a_shared_file,
        (
            Step(
                "See that the search beside over {folder}/shared.csv (target y, LogisticRegression) has 14 trials in "
                "all. A colleague does the same at this moment; together you must not make more.",
                search_beside,
            ),
        )
        * 2,
        searched_once,
        {"trials": "number in all", "best": "best value"},
        {"trials": 28, "best": 0.9},
        at_once=True,
    ),
)
