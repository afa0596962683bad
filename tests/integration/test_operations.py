"""Every operation of the design document, called over MCP on real data.

`tests/contract/test_operations.py` is the table.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mcp import Client
from mcp.types import ImageContent, TextContent

pytestmark = pytest.mark.slow

Call = Callable[..., Awaitable[dict[str, Any]]]
Refusal = Callable[..., Awaitable[str]]
ZIPCODES = str(Path(__file__).parents[2] / "examples" / "credit_risk" / "zipcode_table.parquet")
NUMBERS = ["person_age", "person_income", "person_emp_length", "loan_amnt", "loan_int_rate"]


async def _trained(call: Call, loans: str, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"dataset": loans, "target": "loan_status", "params": {"n_estimators": 30}} | changes
    return await call("train_model", **arguments)


async def test_experiments_and_runs(call: Call, refusal: Refusal, tmp_path: Path) -> None:
    first = await call("create_experiment", name="remib", tags={"platform": "e2i"})
    again = await call("create_experiment", name="remib")
    assert (first["experiment_id"], first["created"]) == (again["experiment_id"], True)
    assert Path(first["artifact_root"]).is_absolute()
    run = await call("start_run", experiment="remib", name="run_1", tags={"algorithm": "CausalForest"})
    assert run["artifact_uri"].startswith(first["artifact_root"])
    await call("log_run", run=run["run"], params={"depth": 3}, metrics={"train_auc": 0.9}, step=0)
    await call("log_run", run=run["run"], metrics={"train_auc": 0.95, "val_auc": 0.8}, step=1)
    assert "depth" in await refusal("log_run", run=run["run"], params={"depth": 4})
    (tmp_path / "report.md").write_text("# report", encoding="utf-8")
    assert (await call("log_artifact", run=run["run"], path=str(tmp_path / "report.md")))["artifact"] == "report.md"
    ended = await call("end_run", run=run["run"])
    read = await call("get_run", run=run["run"])
    assert read["metrics"] == {"train_auc": 0.95, "val_auc": 0.8}
    assert read["params"] == {"depth": "3"}
    assert read["duration_s"] == ended["duration_s"] >= 0
    found = await call("search_runs", experiment="remib", where="metrics.val_auc > 0.5")
    assert [line["run"] for line in found["items"]] == [run["run"]]
    assert "Did you mean val_auc" in await refusal("search_runs", where="metrics.val_acu > 0")


async def test_models_from_training_to_production(call: Call, loans: str) -> None:
    first, second = await _trained(call, loans), await _trained(call, loans, params={"n_estimators": 40})
    run = (await call("start_run", experiment="remib"))["run"]
    logged = await call("log_model", model=first["model"], run=run, name="e2i_remib")
    assert (await call("get_run", run=run))["models"] == [logged["model"]]
    version = await call("register_model", model=second["model"], name="e2i_remib", tags={"brand": "Remibrutinib"})
    assert version["tags"] == {"brand": "Remibrutinib"}
    await call("transition_stage", model="model:e2i_remib/1", stage="Production")
    await call("transition_stage", model="model:e2i_remib/2", stage="Staging")
    assert (await call("get_latest_version", model="e2i_remib"))["version"] == 1
    moved = await call("transition_stage", model="model:e2i_remib/2", stage="Production", archive_existing=True)
    assert moved["archived"] == ["model:e2i_remib/1"]
    assert (await call("get_latest_version", model="e2i_remib"))["version"] == 2
    model = await call("get_model", model="model:e2i_remib@production", check=True)
    assert model["check"]["loaded"]
    assert len(model["inputs"]) == 8


async def test_validation(call: Call, loans: str) -> None:
    listed = await call("list_suites")
    assert {"suite:e2i_classification_suite", "suite:e2i_regression_suite"} <= {
        item["suite"] for item in listed["items"]
    }
    default = await call("get_default_suite", task="classification")
    assert default["suite"] == "suite:e2i_classification_suite"
    assert len((await call("get_suite", suite="suite:e2i_classification_suite"))["expectations"]) == 9
    made = await call("generate_dataset", n_rows=1000)
    passed = await call("validate_dataset", dataset=made["dataset"], suite="suite:e2i_classification_suite")
    assert (passed["success"], passed["passed"], passed["failed"], passed["not_evaluated"]) == (True, 9, 0, 0)
    rules = [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "person_age", "min_value": 18, "max_value": 60},
        }
    ]
    await call("create_suite", name="ages", expectations=rules)
    failed = await call("validate_dataset", dataset=loans, suite="ages", detail="full")
    rule = failed["results"][0]
    frame = pd.read_parquet(loans)
    assert (failed["success"], rule["verdict"], rule["unexpected"]) == (
        False,
        "failed",
        int((frame["person_age"] > 60).sum()),
    )
    assert rule["type"] == "expect_column_values_to_be_between"
    assert failed["duration_seconds"] > 0
    young = await call(
        "validate_dataset",
        dataset=loans,
        suite="ages",
        row_condition=[{"column": "person_age", "operator": "<=", "value": 60}],
    )
    assert young["success"]


async def test_features(call: Call, loans: str) -> None:
    await call(
        "register_features",
        dataset=ZIPCODES,
        view="zipcodes",
        entity="zipcode",
        timestamp_column="event_timestamp",
        features=["population"],
    )
    await call(
        "register_feature", feature="state", view="zipcodes", entity="zipcode", dtype="string", description="Of the US"
    )
    views = await call("list_features")
    assert views["items"][0]["features"] == {"population": "int64", "state": "string"}
    joined = await call(
        "get_historical_features",
        dataset=loans,
        features=["zipcodes:population", "zipcodes:state"],
        timestamp_column="event_timestamp",
        full_feature_names=True,
    )
    assert joined["rows"] == 3000
    assert {column["name"] for column in joined["added"]} == {"zipcodes__population", "zipcodes__state"}
    await call("materialize_features", views=["zipcodes"])
    online = await call("get_online_features", features=["zipcodes:state"], rows=[{"zipcode": 76104}, {"zipcode": 1}])
    assert online["rows"][0]["values"] == {"state": "TX"}
    assert online["rows"][1]["status"] == "unknown"
    statistics = await call("get_feature_statistics", view="zipcodes")
    assert statistics["rows"] == 28844


async def test_algorithms_tuning_and_evaluation(call: Call, loans: str) -> None:
    names = {entry["name"] for entry in (await call("list_algorithms"))["algorithms"]}
    assert {
        "XGBoost", "LightGBM", "RandomForest", "LogisticRegression", "LinearRegression", "Ridge", "Lasso",
        "CausalForest", "LinearDML", "CatBoost",
    } <= names  # fmt: skip
    tuned = await call(
        "tune_model",
        dataset=loans,
        target="loan_status",
        algorithm="XGBoost",
        search_space={
            "max_depth": [2, 5],
            "learning_rate": {"low": 0.05, "high": 0.3, "log": True},
            "grow_policy": ["depthwise", "lossguide"],
            "n_estimators": {"choices": [20, 30]},
        },
        n_trials=3,
        metric="auc",
        budget_s=60,
        study="xgb_tuning",
        experiment="tuning",
    )
    assert tuned["search_space"]["max_depth"] == "whole 2 to 5"
    trials = await call("search_runs", experiment="tuning", where="attributes.run_name LIKE 'trial %'", limit=50)
    assert len(trials["items"]) == 3
    study = await call("get_study", study="study:xgb_tuning")
    assert study["best"]["params"] == tuned["best_params"]
    trained = await _trained(call, loans, params=tuned["best_params"])
    scored = await call("evaluate_model", model=trained["model"], dataset=loans)
    assert scored["score"]["interval"][0] <= scored["score"]["value"] <= scored["score"]["interval"][1]


async def test_explanations(call: Call, client: Client, loans: str) -> None:
    model = (await _trained(call, loans))["model"]
    explained = await call("explain_model", model=model, dataset=loans, n_rows=100)
    assert sum(item["share"] for item in explained["importances"]) == pytest.approx(1)
    assert explained["label"] == "1"
    one = await call("explain_prediction", model=model, dataset=loans, index=7, limit=50)
    total = one["base_value"] + sum(item["contribution"] for item in one["contributions"])
    assert total == pytest.approx(one["margin"], abs=1e-4)
    assert one["link"] == "logit"
    assert 1 / (1 + np.exp(-one["margin"])) == pytest.approx(one["answer"], abs=1e-5)
    pairs = await call("explain_interactions", model=model, dataset=loans, n_rows=50)
    assert len(pairs["pairs"][0]["features"]) == 2
    picture = await client.call_tool("plot_explanation", {"explanation": explained["explanation"]})
    assert [type(part) for part in picture.content] == [TextContent, ImageContent]
    assert getattr(picture.content[1], "mime_type", None) == "image/png"


async def test_effects(call: Call) -> None:
    made = await call("generate_dataset", n_rows=3000, seed=1)
    found = await call(
        "estimate_effect",
        dataset=made["dataset"],
        treatment="treatment",
        outcome="outcome",
        effect_modifiers=["years_in_practice"],
        controls=["patient_volume", "specialty", "call_frequency"],
    )
    # One interval of twenty misses the truth, so the estimate itself is held against it.
    assert abs(found["effect"]["value"] - 2.0) < 0.3 < found["difference"]["value"] - 2.0
    assert found["overlap"]["verdict"] in ("good", "weak")


async def test_serving(call: Call, loans: str) -> None:
    bentos = []
    view = {"dataset": ZIPCODES, "view": "zipcodes", "entity": "zipcode", "timestamp_column": "event_timestamp"}
    await call("register_features", **view, features=["population", "state"])
    await call("materialize_features")
    joined = await call(
        "get_historical_features", dataset=loans, features=["zipcodes"], timestamp_column="event_timestamp"
    )
    learned = [*NUMBERS, "person_home_ownership", "loan_intent"]
    for trees, dataset, more in ((20, loans, "zipcode"), (30, joined["dataset"], "population")):
        trained = await _trained(call, dataset, params={"n_estimators": trees}, features=[*learned, more])
        bentos.append(await call("package_model", model=trained["model"], name="remib", version=f"v{trees}"))
    try:
        deployed = await call("deploy_model", bento=bentos[0]["bento"], endpoint="remib", resources={"cpu": 1})
        assert deployed["url"].startswith("http://127.0.0.1:")
        rows = pd.read_parquet(loans)[["zipcode", *learned]].head(5)
        answer = await call("predict", endpoint="remib", rows=rows.to_dict("records"))
        assert len(answer["predictions"]) == 5
        assert all(abs(sum(chances) - 1) < 1e-6 for chances in answer["probabilities"])
        await call("deploy_model", bento=bentos[1]["bento"], endpoint="remib", percent=10)
        traffic = await call("set_traffic", endpoint="remib", bento=bentos[1]["bento"], percent=50)
        assert sorted(traffic["traffic"].values()) == [50, 50]
        # Both take a row with its key: one learned from that, the other from what is stored of it.
        keyed = {"rows": rows.head(1).to_dict("records"), "features": ["zipcodes"]}
        asked = [await call("predict", endpoint="remib", **keyed) for _ in range(10)]
        assert 4 <= sum(reply["bento"] == bentos[1]["bento"] for reply in asked) <= 6
        listed = await call("list_endpoints")
        assert listed["items"][0]["state"] == "ready"
        await call("set_traffic", endpoint="remib", bento=bentos[1]["bento"], percent=100)
        block = await call("predict", endpoint="remib", dataset=joined["dataset"])
        assert (block["total"], block["next_cursor"]) == (3000, "100")
        records = rows.to_dict("records")
        known = await call("predict", endpoint="remib", rows=records, features=["zipcodes:population"])
        assert known["probabilities"] == block["probabilities"][:5]
        strange = await call("predict", endpoint="remib", rows=[records[0] | {"zipcode": 1}], features=["zipcodes"])
        assert "1 of 1 rows have a key that the online store does not hold" in strange["notes"]
    finally:
        await call("stop_endpoint", endpoint="remib")
    assert (await call("list_endpoints"))["items"] == []


async def test_traces_and_jobs(call: Call, loans: str) -> None:
    await _trained(call, loans)
    lines = (await call("search_traces", search="train_model"))["items"]
    tree = await call("get_trace", trace=lines[0]["trace"], detail="full")
    assert [span["name"] for span in tree["spans"]][:2] == ["train_model", "job train_model"]
    jobs = await call("list_jobs")
    assert jobs["items"][0]["state"] == "done"


async def test_an_agent_observes_itself(call: Call) -> None:
    plan = await call("start_span", name="plan", agent="scope_definer")
    llm = await call("log_llm_call", model="claude", input_tokens=10, output_tokens=5, parent=plan["span"])
    await call("log_metric", span=llm["span"], metric="doubt", value=0.5, as_score=True)
    assert (await call("end_span", span=plan["span"], output={"target": "bad"}))["status"] == "ok"
    await call("log_feedback", trace=plan["trace"], score=1, feedback_type="user")
    tree = await call("get_trace", trace=plan["trace"], detail="full")
    (top, below) = tree["spans"]
    assert (top["output"], top["scores"]) == ({"target": "bad"}, {"user": 1.0})
    assert (below["model"], below["tokens"]["total_tokens"], below["scores"]) == ("claude", 15, {"doubt": 0.5})
    cases = [{"output": "a", "expected": "a"}, {"output": "a", "expected": "b"}]
    judged = await call(
        "evaluate_agent", agent="scope_definer", test_cases=cases, scoring_metrics=["Equals"], wait_s=50
    )
    found = judged.get("result", judged)
    assert found["metrics"][0]["mean"] == 0.5
    assert [case["scores"] for case in found["cases"]] == [{"Equals": 0.0}, {"Equals": 1.0}]
