from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Call = Callable[..., Awaitable[dict[str, Any]]]
EXAMPLE = Path(__file__).parents[2] / "examples" / "credit_risk"
RULES = [
    {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "loan_status", "value_set": [0, 1]}},
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "zipcode"}},
]


async def test_one_run_holds_everything_from_validation_to_the_bento(call: Call, loans: str) -> None:
    run = (await call("start_run", experiment="remib", name="pipeline", tags={"brand": "Remibrutinib"}))["run"]

    suite = (await call("create_suite", name="loans", expectations=RULES))["suite"]
    validation = await call("validate_dataset", dataset=loans, suite=suite)
    assert (validation["verdict"], validation["passed"]) == ("passed", 2)

    zipcodes = str(EXAMPLE / "zipcode_table.parquet")
    view = await call(
        "register_features", dataset=zipcodes, view="zipcodes", entity="zipcode", timestamp_column="event_timestamp"
    )
    features = [f"zipcodes:{name}" for name in ("population", "total_wages")]
    joined = await call("get_historical_features", dataset=loans, features=features, timestamp_column="event_timestamp")
    parts = await call("split_dataset", dataset=joined["dataset"], strategy="time", column="event_timestamp")
    train, held_out, test = (parts[name]["dataset"] for name in ("train", "validation", "test"))

    shared = {"dataset": train, "validation": held_out, "target": "loan_status", "exclude": ["zipcode"]}
    space = {"max_depth": [2, 6], "learning_rate": {"low": 0.05, "high": 0.3, "log": True}, "n_estimators": [20, 60]}
    tuned = await call("tune_model", **shared, search_space=space, n_trials=4, experiment="remib")
    trained = await call("train_model", **shared, params=tuned["best_params"], run=run)
    scored = await call("evaluate_model", model=trained["model"], dataset=test)
    assert scored["score"]["value"] > scored["score"]["baseline"] + 0.2
    explained = await call("explain_model", model=trained["model"], dataset=test, n_rows=200)
    assert explained["additivity_error"] < 1e-3
    version = await call("register_model", model=trained["model"], name="remib_credit")
    packaged = await call("package_model", model=version["model"], name="remib_credit")

    handles = {
        "validation": validation["validation"],
        "explanation": explained["explanation"],
        "bento": packaged["bento"],
    }
    await call("log_run", run=run, tags=handles)
    ended = await call("end_run", run=run)

    assert ended["status"] == "FINISHED"
    assert ended["duration_s"] > 0
    assert ended["models"] == [trained["model"]]
    assert ended["tags"]["bento"] == packaged["bento"]
    assert ended["metrics"]["validation_auc"] == pytest.approx(tuned["best_value"], rel=1e-5)
    assert any(name.endswith("_auc") and "test" in name for name in ended["metrics"])
    assert trained["run"] == run

    graph = await call("get_lineage", handle=packaged["bento"], limit=100)
    ancestors = {edge["parent"] for edge in graph["ancestors"]}
    expected = {trained["model"], train, joined["dataset"], view["dataset"], f"file:{loans}", f"file:{zipcodes}"}
    assert expected <= ancestors
    from_file = await call("get_lineage", handle=f"file:{loans}", limit=100)
    made = {edge["child"] for edge in from_file["descendants"]}
    assert {validation["validation"], tuned["study"], explained["explanation"], packaged["bento"]} <= made
