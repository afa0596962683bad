"""Answers of the tools that have an app, made of the models that the tools answer with, and names that mean harm."""

from __future__ import annotations

from typing import Any

from mlops_mcp.tools.data.models import ColumnDrift, DatasetComparison
from mlops_mcp.tools.estimates import Estimate
from mlops_mcp.tools.explain.models import Contribution, Explanation, Importance, PredictionExplanation
from mlops_mcp.tools.runtime.models import JobView, Progress
from mlops_mcp.tools.serving.models import EndpointView, Event, Version
from mlops_mcp.tools.tracking.models import RunComparison
from mlops_mcp.tools.tuning.models import Study, Trial, Tried, Tuned

SCRIPT = "<script>document.title='owned'</script>"
LONG = "x" * 10_000
NAMES = ["age", SCRIPT, '"><img src=x onerror=alert(1)>', "שלום", LONG]
SURE = Estimate(value=0.8, interval=(0.7, 0.9), method="95 %", n=100, verdict="above_baseline")

RUNS = RunComparison(
    runs=[f"run:{number}" for number in range(5)],
    names=NAMES,
    status=["FINISHED", "FINISHED", "RUNNING", "KILLED", "FAILED"],
    params={"depth": ["1", "2", None, SCRIPT, "5"]},
    metrics={"auc": [0.7, 0.8, None, 0.75, 0.9], SCRIPT: [1, 2, 3, 4, 5]},
    differences={"auc": [0, 0.1, None, 0.05, 0.2]},
    data=["dataset:a@1"] * 5,
    same_data=True,
    same_versions=None,
)
STUDY = Study(
    study="study:search",
    direction="maximize",
    metric="auc",
    algorithm=SCRIPT,
    states={"complete": 5, "pruned": 2, "fail": 1},
    best=None,
    importance={name: 1 / (place + 2) for place, name in enumerate(NAMES)},
    top=[
        Trial(
            number=number, state="complete", value=0.9 - number / 20, std=0.02, params={"depth": number, SCRIPT: LONG}
        )
        for number in range(5)
    ],
)
TRIED = [
    Tried(number=number, value=0.9 - 0.2 / (number % 7 + 1), best=0.9 - 0.2 / min(7, number + 1))
    for number in range(40)
]
TUNED = Tuned(
    study="study:search",
    algorithm="XGBoost",
    metric="auc",
    direction="maximize",
    scored_on="3 folds",
    best_value=0.9,
    corrected_value=0.88,
    score=SURE,
    best_params={"depth": 3, SCRIPT: LONG},
    default_value=0.8,
    trials=20,
    pruned=3,
    failed=0,
    search_space={},
    importance={"depth": 0.7, "rate": 0.3},
    run="run:a",
    seconds=12.0,
    notes=[SCRIPT],
)
EXPLAINED = Explanation(
    explanation="explanation:a",
    model="model:credit/1",
    dataset="dataset:a@1",
    rows=100,
    explainer="tree",
    label=SCRIPT,
    unit="log odds",
    link="logit",
    base_value=0.1,
    answer_unit="probability",
    mean_answer=0.3,
    additivity_error=0,
    importances=[Importance(feature=name, share=0.5 / (place + 1), mean_abs=0.1) for place, name in enumerate(NAMES)],
    omitted=3,
)
ANSWER = PredictionExplanation(
    model="model:credit/1",
    row=3,
    predicted=SCRIPT,
    label="yes",
    unit="log odds",
    link="logit",
    base_value=0.1,
    margin=0.7,
    answer_unit="probability",
    answer=0.66,
    additivity_error=0,
    contributions=[
        Contribution(feature=name, value=SCRIPT, contribution=0.3 - place / 5) for place, name in enumerate(NAMES)
    ],
)
DRIFTED = DatasetComparison(
    reference="dataset:a@1",
    current="dataset:b@2",
    rows=(100, 90),
    verdict="drifted",
    drifted=2,
    compared=5,
    added=[SCRIPT],
    lost=[LONG],
    retyped={},
    two_sample=SURE,
    shared=None,
    method="",
    notes=[],
    columns=[
        ColumnDrift(
            column=name, kind="number", verdict="drifted" if place < 2 else "same", p=0.01, distance=0.5 / (place + 1)
        )
        for place, name in enumerate(NAMES)
    ],
)
SERVED = EndpointView(
    endpoint="endpoint:credit",
    state="degraded",
    url="http://127.0.0.1:1/credit/predict",
    events=[Event(at="2026-01-01T00:00:00+00:00", what=SCRIPT)],
    versions=[
        Version(
            bento=f"bento:{name[:80]}:1",
            model="model:credit/1",
            state="ready",
            percent=20,
            shadow=place == 4,
            replicas=1,
            memory_mb=100,
            started="",
            restarts=0,
            requests=100 * place,
            errors=place % 2,
            error_rate=0.01,
            p50_ms=3.2,
            p99_ms=9.1,
            compared=0,
            differed=0,
        )
        for place, name in enumerate(NAMES)
    ],
)
# The app, and the answer that it draws: plain, or as the result of a job.
ANSWERS: dict[str, tuple[str, Any]] = {
    "runs": ("runs", RUNS),
    "study": ("study", STUDY.model_copy(update={"history": TRIED})),
    "tuned": ("study", JobView[Tuned](job="job:a", tool="tune_model", state="done", seconds=1, result=TUNED)),
    "shap": (
        "shap",
        JobView[Explanation](job="job:a", tool="explain_model", state="done", seconds=1, result=EXPLAINED),
    ),
    "row": ("shap", ANSWER),
    "drift": (
        "drift",
        JobView[DatasetComparison](job="job:a", tool="compare_datasets", state="done", seconds=1, result=DRIFTED),
    ),
    "traffic": ("traffic", SERVED),
}
RUNNING = JobView[Tuned](
    job="job:a",
    tool="tune_model",
    state="running",
    seconds=1,
    progress=Progress(done=3, total=20, best=0.91, message="trial 3"),
)


def structured(answer: Any) -> dict[str, Any]:
    """As it stands in `structuredContent`."""
    return dict(answer.model_dump(mode="json"))
