from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Call = Callable[..., Awaitable[dict[str, Any]]]
EXAMPLE = Path(__file__).parents[2] / "examples" / "credit_risk"
ZIPCODES = str(EXAMPLE / "zipcode_table.parquet")
RULES = [
    {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "loan_status", "value_set": [0, 1]}},
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "zipcode"}},
]


@dataclass(frozen=True)
class Data:
    validation: str
    train: str
    held_out: str
    test: str
    ancestors: set[str]


@dataclass(frozen=True)
class Made:
    run: str
    study: str
    best: float
    model: str
    explanation: str
    version: str
    bento: str


async def prepared_data(call: Call, loans: str) -> Data:
    suite = (await call("create_suite", name="loans", expectations=RULES))["suite"]
    validation = await call("validate_dataset", dataset=loans, suite=suite)
    assert (validation["verdict"], validation["passed"]) == ("passed", 2)
    view = await call(
        "register_features", dataset=ZIPCODES, view="zipcodes", entity="zipcode", timestamp_column="event_timestamp"
    )
    features = [f"zipcodes:{name}" for name in ("population", "total_wages")]
    joined = await call("get_historical_features", dataset=loans, features=features, timestamp_column="event_timestamp")
    parts = await call("split_dataset", dataset=joined["dataset"], strategy="time", column="event_timestamp")
    train, held_out, test = (parts[name]["dataset"] for name in ("train", "validation", "test"))
    ancestors = {train, joined["dataset"], view["dataset"], f"file:{loans}", f"file:{ZIPCODES}"}
    return Data(validation["validation"], train, held_out, test, ancestors)


async def modelled(call: Call, data: Data, run: str) -> Made:
    shared = {"dataset": data.train, "validation": data.held_out, "target": "loan_status", "exclude": ["zipcode"]}
    space = {"max_depth": [2, 6], "learning_rate": {"low": 0.05, "high": 0.3, "log": True}, "n_estimators": [20, 60]}
    tuned = await call("tune_model", **shared, search_space=space, n_trials=4, experiment="remib")
    trained = await call("train_model", **shared, params=tuned["best_params"], run=run)
    assert trained["run"] == run
    scored = await call("evaluate_model", model=trained["model"], dataset=data.test)
    assert scored["score"]["value"] > scored["score"]["baseline"] + 0.2
    explained = await call("explain_model", model=trained["model"], dataset=data.test, n_rows=200)
    assert explained["additivity_error"] < 1e-3
    version = await call("register_model", model=trained["model"], name="remib_credit")
    packaged = await call("package_model", model=version["model"], name="remib_credit")
    return Made(
        run, tuned["study"], tuned["best_value"], trained["model"], explained["explanation"], version["model"],
        packaged["bento"],
    )  # fmt: skip


async def lifecycle(call: Call, loans: str) -> tuple[Data, Made]:
    """From rules to a bento; what was found on the way stands in the one run."""
    run = (await call("start_run", experiment="remib", name="pipeline", tags={"brand": "Remibrutinib"}))["run"]
    data = await prepared_data(call, loans)
    made = await modelled(call, data, run)
    handles = {"validation": data.validation, "explanation": made.explanation, "bento": made.bento}
    await call("log_run", run=run, tags=handles)
    ended = await call("end_run", run=run)
    assert ended["status"] == "FINISHED"
    assert ended["duration_s"] > 0
    assert ended["models"] == [made.model]
    assert ended["tags"]["bento"] == made.bento
    assert ended["metrics"]["validation_auc"] == pytest.approx(made.best, rel=1e-5)
    assert any(name.endswith("_auc") and "test" in name for name in ended["metrics"])
    return data, made


async def test_one_run_holds_everything_from_validation_to_the_bento_and_the_same_again_is_a_second(
    call: Call, loans: str
) -> None:
    for number in (1, 2):  # the second time the folder holds everything already
        data, made = await lifecycle(call, loans)
        assert made.version == f"model:remib_credit/{number}"
        graph = await call("get_lineage", handle=made.bento, limit=100)
        assert {made.model, *data.ancestors} <= {edge["parent"] for edge in graph["ancestors"]}
        from_file = await call("get_lineage", handle=f"file:{loans}", limit=100)
        below = {edge["child"] for edge in from_file["descendants"]}
        assert {data.validation, made.study, made.explanation, made.bento} <= below
