"""A scripted agent: the lifecycle on the credit-risk data, by tool calls only.

Every step is a function that reads what earlier steps found, calls tools, and returns one line about what it
found. Nothing here touches a library: what happens, happens behind the server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .session import Session

DATA = Path(__file__).parent
TARGET = "loan_status"
# Not known before the loan is granted, or names a row instead of describing it.
EXCLUDED = ["city", "location_type", "zipcode"]

LOAN_RULES = [
    {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "loan_id"}},
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "zipcode"}},
    {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": TARGET, "value_set": [0, 1]}},
    {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "loan_amnt", "min_value": 500, "max_value": 35000},
    },
    {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "loan_int_rate", "min_value": 0, "max_value": 30},
    },
]
PEOPLE_RULES = [
    {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "person_age", "min_value": 18, "max_value": 100},
    },
    {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "person_emp_length", "min_value": 0, "max_value": 60},
    },
]
NEW_LOAN = {
    "person_age": 27,
    "person_income": 59_000,
    "person_home_ownership": "RENT",
    "person_emp_length": 3.0,
    "loan_intent": "MEDICAL",
    "loan_amnt": 18_000,
    "loan_int_rate": 13.5,
}
NEW_LOAN_ZIPCODE = 76104
ONLINE_FEATURES = ["state", "tax_returns_filed", "population", "total_wages"]


@dataclass
class Findings:
    """What the agent learns on the way, by name. `trials` is how many it may search."""

    trials: int = 20
    handles: dict[str, str] = field(default_factory=dict[str, str])
    results: dict[str, Any] = field(default_factory=dict[str, Any])


Step = Callable[[Session, Findings], Awaitable[str]]


async def load(session: Session, found: Findings) -> str:
    loans = await session.call("load_dataset", path=str(DATA / "loan_table.parquet"), name="loans")
    zipcodes = await session.call("load_dataset", path=str(DATA / "zipcode_table.parquet"), name="zipcodes")
    found.handles |= {"loans": loans["dataset"], "zipcodes": zipcodes["dataset"]}
    return f"{loans['rows']:,} loans, {zipcodes['rows']:,} zipcodes"


async def validate(session: Session, found: Findings) -> str:
    suite = await session.call("create_suite", name="loans", expectations=LOAN_RULES)
    verdict = await session.call("validate_dataset", dataset=found.handles["loans"], suite=suite["suite"])
    found.handles |= {"suite": suite["suite"], "validation": verdict["validation"]}
    return f"{verdict['verdict']}: {verdict['passed']} rules passed, {verdict['failed']} failed"


async def validate_people(session: Session, found: Findings) -> str:
    """This one has to fail: the real data hold people of 144 years and careers of 123."""
    suite = await session.call("create_suite", name="people", expectations=PEOPLE_RULES)
    verdict = await session.call("validate_dataset", dataset=found.handles["loans"], suite=suite["suite"])
    if verdict["verdict"] != "failed":
        raise AssertionError(f"impossible ages were {verdict['verdict']}")
    found.handles |= {"failing suite": suite["suite"], "failing validation": verdict["validation"]}
    bad = [f"{rule['unexpected']} of {rule['kwargs']['column']}" for rule in verdict["results"]]
    return f"rightly {verdict['verdict']}: {', '.join(bad)}"


async def join_features(session: Session, found: Findings) -> str:
    view = await session.call(
        "register_features",
        dataset=found.handles["zipcodes"],
        view="zipcode_features",
        entity="zipcode",
        timestamp_column="event_timestamp",
        created_timestamp_column="created_timestamp",
    )
    names = [f"zipcode_features:{name}" for name in view["features"]]
    joined = await session.call(
        "get_historical_features", dataset=found.handles["loans"], features=names, timestamp_column="event_timestamp"
    )
    found.handles["joined"] = joined["dataset"]
    return f"{len(names)} features joined point-in-time onto {joined['rows']:,} rows"


async def split(session: Session, found: Findings) -> str:
    parts = await session.call(
        "split_dataset", dataset=found.handles["joined"], strategy="time", column="event_timestamp"
    )
    found.handles |= {name: parts[name]["dataset"] for name in ("train", "test")}
    found.handles["held out"] = parts["validation"]["dataset"]
    return f"train until {parts['train']['last'][:10]}, test from {parts['test']['first'][:10]}"


async def tune(session: Session, found: Findings) -> str:
    tuned = await session.call(
        "tune_model",
        dataset=found.handles["train"],
        validation=found.handles["held out"],
        target=TARGET,
        algorithm="XGBoost",
        n_trials=found.trials,
        exclude=EXCLUDED,
        experiment="credit_risk",
    )
    found.handles |= {"study": tuned["study"], "tuning run": tuned["run"]}
    found.results["params"] = tuned["best_params"]
    gain = f" (its defaults: {tuned['default_value']:.4f})" if tuned["default_value"] is not None else ""
    return f"validation AUC {tuned['best_value']:.4f} after {tuned['trials']} trials{gain}"


async def train(session: Session, found: Findings) -> str:
    trained = await session.call(
        "train_model",
        dataset=found.handles["train"],
        validation=found.handles["held out"],
        target=TARGET,
        algorithm="XGBoost",
        params=found.results["params"],
        exclude=EXCLUDED,
        experiment="credit_risk",
    )
    found.handles |= {"logged model": trained["model"], "run": trained["run"]}
    return f"{len(trained['features'])} features, fitted in {trained['fit_seconds']:.1f} s"


async def evaluate(session: Session, found: Findings) -> str:
    result = await session.call("evaluate_model", model=found.handles["logged model"], dataset=found.handles["test"])
    found.results["evaluation"] = result
    score = result["score"]
    low, high = score["interval"]
    return f"test AUC {score['value']:.4f} [{low:.4f}, {high:.4f}], dummy {score['baseline']:.2f}"


async def register(session: Session, found: Findings) -> str:
    version = await session.call(
        "register_model", model=found.handles["logged model"], name="credit_risk", description="Credit-risk demo"
    )
    await session.call("transition_stage", model=version["model"], stage="Staging")
    found.handles["model"] = version["model"]
    return f"{version['model']} in Staging"


async def explain(session: Session, found: Findings) -> str:
    explained = await session.call("explain_model", model=found.handles["model"], dataset=found.handles["test"])
    found.handles["explanation"] = explained["explanation"]
    found.results["importances"] = explained["importances"]
    plotted = await session.call("plot_explanation", explanation=explained["explanation"])
    found.results["picture"] = await session.picture(plotted["picture"])
    return f"top: {', '.join(item['feature'] for item in explained['importances'][:3])}"


async def package(session: Session, found: Findings) -> str:
    packaged = await session.call("package_model", model=found.handles["model"], name="credit_risk")
    found.handles["bento"] = packaged["bento"]
    return str(packaged["bento"])


async def deploy(session: Session, found: Findings) -> str:
    deployed = await session.call("deploy_model", bento=found.handles["bento"], endpoint="credit_risk")
    found.handles["endpoint"] = "endpoint:credit_risk"
    found.results["url"] = deployed["url"]
    return f"ready at {deployed['url']}"


async def predict(session: Session, found: Findings) -> str:
    await session.call("materialize_features", views=["zipcode_features"])
    online = await session.call(
        "get_online_features",
        features=[f"zipcode_features:{name}" for name in ONLINE_FEATURES],
        rows=[{"zipcode": NEW_LOAN_ZIPCODE}],
    )
    row = NEW_LOAN | {name: online["rows"][0]["values"][name] for name in ONLINE_FEATURES}
    answer = await session.call("predict", endpoint="credit_risk", rows=[row])
    chance = answer["probabilities"][0][1]
    found.results["prediction"] = {"row": row, "default": chance}
    return f"one new loan in {row['state']}: {chance:.1%} chance of default"


async def trace(session: Session, found: Findings) -> str:
    tree = await session.call("get_trace", trace=f"trace:{session.trace_id}", limit=100)
    lineage = await session.call("get_lineage", handle=found.handles["endpoint"])
    found.results |= {"tree": tree["tree"], "ancestors": lineage["ancestors"]}
    return f"{len(tree['tree'].splitlines())} spans; the endpoint goes back to {_sources(lineage['ancestors'])}"


STEPS: tuple[tuple[str, Step], ...] = (
    ("load both tables", load),
    ("validate the loans", validate),
    ("validate the people", validate_people),
    ("join the zipcode features", join_features),
    ("split by time", split),
    ("tune XGBoost", tune),
    ("train the best", train),
    ("evaluate on test", evaluate),
    ("register in MLflow", register),
    ("explain with SHAP", explain),
    ("package with BentoML", package),
    ("deploy an endpoint", deploy),
    ("predict a new loan", predict),
    ("read trace and lineage", trace),
)


def _sources(edges: list[dict[str, str]]) -> str:
    files = sorted({Path(edge["parent"]).name for edge in edges if edge["parent"].startswith("file:")})
    return " and ".join(files) or "no file"
