"""Spans, scores and evaluations of agents that only speak MCP."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from mcp import Client

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.observability import spans
from mlops_mcp.tools.observability.evaluation import NEEDS_MODEL, NEEDS_PACKAGE, OFFLINE, chosen
from mlops_mcp.tools.observability.models import Case, EvaluateRequest
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.ids import uuid7
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracing.store.reader import TraceReader
from mlops_mcp.tools.tracing.store.writer import TraceStore

from ...conftest import finished

pytestmark = pytest.mark.slow


async def answer(client: Client, tool: str, meta: Any = None, **arguments: object) -> dict[str, Any]:
    waits = "wait_s" in arguments
    call = finished(client, tool, **arguments) if waits else client.call_tool(tool, arguments, meta=meta)
    result = await call
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: object) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content)


async def test_an_agent_traces_its_own_work_as_one_tree(client: Client) -> None:
    outer = await answer(client, "start_span", name="plan", agent="model_trainer", input={"goal": "credit"})
    llm = await answer(
        client, "log_llm_call", model="claude-sonnet-4-5", input_tokens=120, output_tokens=30, parent=outer["span"],
        seconds=1.5, prompt="Which?", response="XGBoost",
    )  # fmt: skip
    await answer(client, "list_jobs", meta=outer["meta"])
    await answer(client, "log_metric", span=llm["span"], metric="doubt", value=0.25, as_score=True)
    ended = await answer(client, "end_span", span=outer["span"], output={"chosen": "XGBoost"})
    assert (ended["status"], ended["trace"]) == ("ok", outer["trace"])
    await answer(client, "log_feedback", trace=outer["trace"], score=0.9, feedback_type="user", reason="helpful")
    shown = await answer(client, "get_trace", trace=outer["trace"], detail="full")
    tree = [(span["depth"], span["name"]) for span in shown["spans"]]
    assert sorted(tree) == [(0, "plan"), (1, "list_jobs"), (1, "llm_call")]
    named = {span["name"]: span for span in shown["spans"]}
    assert (named["plan"]["input"], named["plan"]["output"]) == ({"goal": "credit"}, {"chosen": "XGBoost"})
    assert named["plan"]["scores"] == {"user": 0.9}
    assert named["llm_call"]["tokens"]["total_tokens"] == 150
    assert (named["llm_call"]["model"], named["llm_call"]["scores"]) == ("claude-sonnet-4-5", {"doubt": 0.25})
    assert "150 tokens" in shown["tree"]


async def test_a_span_is_ended_by_another_server_than_the_one_that_opened_it(settings: Settings) -> None:
    first, second = create_server(settings), create_server(settings)
    async with first.services.running(), Client(first) as client:
        opened = await answer(client, "start_span", name="long thought")
    async with second.services.running(), Client(second) as client:
        ended = await answer(client, "end_span", span=opened["span"], status="error", error="gave up")
        assert ended["seconds"] > 0
    (span,) = TraceReader(settings.home / "traces.db").spans(opened["trace"].removeprefix("trace:"))
    assert (span.status, span.error) == ("error", "gave up")


async def test_a_name_of_the_callers_own_stands_for_the_same_trace_each_time(client: Client) -> None:
    first, second = [await answer(client, "start_span", name="step", trace="session 42") for _ in range(2)]
    assert first["trace"] == second["trace"]
    assert first["span"] != second["span"]
    assert (await answer(client, "get_trace", trace="session 42"))["trace"] == first["trace"]


async def test_spans_that_cannot_be_ended_or_found_are_refused_with_what_to_do(client: Client) -> None:
    opened = await answer(client, "start_span", name="once")
    await answer(client, "end_span", span=opened["span"])
    assert "has ended already" in await refusal(client, "end_span", span=opened["span"])
    still = await answer(client, "start_span", name="open")
    unknown = still["span"][:-2] + "zz"
    assert still["span"] in await refusal(client, "end_span", span=unknown)
    assert "unknown trace" in await refusal(client, "log_feedback", trace="trace:none", score=1)
    jobs = await answer(client, "search_traces", search="list_jobs")
    if not jobs["items"]:
        await answer(client, "list_jobs")
        jobs = await answer(client, "search_traces", search="list_jobs")
    shown = await answer(client, "get_trace", trace=jobs["items"][0]["trace"], detail="full")
    assert "was not opened by start_span" in await refusal(client, "end_span", span=shown["spans"][0]["span"])
    assert "lies between 0" in await refusal(client, "log_llm_call", model="m", input_tokens=-1, output_tokens=0)


async def test_numbers_that_are_logged_at_the_same_time_are_all_kept_and_one_end_counts(client: Client) -> None:
    opened = await answer(client, "start_span", name="busy")
    logs = (answer(client, "log_metric", span=opened["span"], metric=f"m{n}", value=n) for n in range(6))
    await asyncio.gather(*logs)
    ends = await asyncio.gather(*(client.call_tool("end_span", {"span": opened["span"]}) for _ in range(3)))
    assert sorted(bool(end.is_error) for end in ends) == [False, True, True]
    shown = await answer(client, "get_trace", trace=opened["trace"], span=opened["span"], detail="full")
    assert shown["spans"][0]["metadata"]["metrics"] == {f"m{n}": n for n in range(6)}


def test_a_metric_on_a_span_that_would_overwrite_it_is_refused(work: Work) -> None:
    store = TraceStore(work.home / "traces.db", 10)
    tracer = Tracer(store.put)
    running, ended = tracer.start("job train_model"), tracer.start("train_model")
    tracer.announce(running)
    tracer.finish(ended)
    store.close()
    with pytest.raises(ToolFailure, match="still runs"):
        spans.log_metric(work, running.id, "loss", 0.1, False)
    assert spans.log_metric(work, ended.id, "loss", 0.1, False).value == 0.1
    with pytest.raises(ToolFailure, match="finite"):
        spans.log_metric(work, ended.id, "loss", float("inf"), True)
    with pytest.raises(ToolFailure, match="finite"):
        spans.log_feedback(work, ended.trace_id, float("nan"), "quality", "")


@pytest.mark.parametrize(
    ("tracing", "kept"), [({"toolsets": {"observability": "off"}}, {"goal": "x"}), ({"capture": "metadata"}, None)]
)
def test_spans_of_the_callers_own_follow_the_settings_of_all(
    settings: Settings, tracing: dict[str, Any], kept: object
) -> None:
    work = with_tracing(settings, **tracing)
    opened = spans.start_span(work, "plan", "", "", "", {"goal": "x"}, {"kind": "demo"})
    spans.end_span(work, opened.span, "ok", "", None, {})
    span = TraceReader(work.home / "traces.db").span(opened.span)
    assert span is not None
    assert (span.input, span.metadata["kind"], span.status) == (kept, "demo", "ok")


@pytest.mark.parametrize("tracing", [{"enabled": False}, {"capture": "off"}])
def test_where_nothing_is_traced_no_span_is_promised(settings: Settings, tracing: dict[str, Any]) -> None:
    work = with_tracing(settings, **tracing)
    with pytest.raises(ToolFailure, match=r"tracing\.enabled"):
        spans.start_span(work, "plan", "", "", "", None, {})
    with pytest.raises(ToolFailure, match=r"tracing\.enabled"):
        spans.evaluate_agent(work, EvaluateRequest(agent="a", test_cases=[Case(output="x")], metrics=["IsJson"]))


def with_tracing(settings: Settings, **changes: object) -> Work:
    changed = settings.model_copy(update={"tracing": settings.tracing.model_copy(update=changes)})
    return Work(changed, Tracer(lambda _span: None))


def test_an_evaluation_that_is_run_again_leaves_each_case_once(work: Work) -> None:
    cases = [Case.model_validate({"input": n, "output": "{}", "expected": "[]", "context": "c"}) for n in range(3)]
    request = EvaluateRequest(agent="a", test_cases=cases, metrics=["IsJson"])
    job = replace(work, job=uuid7().replace("-", "")[:20])
    first, second = spans.evaluate_agent(job, request), spans.evaluate_agent(job, request)
    assert first.cases == second.cases
    stored = TraceReader(work.home / "traces.db")
    assert stored.count() == 3
    (span,) = stored.spans(first.cases[0].trace.removeprefix("trace:"))
    assert (span.input["expected"], span.input["context"], span.output) == ("[]", "c", "{}")
    assert span.id[:13] == span.trace_id[:13] == f"{job.job[:8]}-{job.job[8:12]}"


def test_a_metric_where_less_is_better_says_so_and_ranks_that_way(work: Work) -> None:
    cases = [Case(output="a b c", expected="a b c"), Case(output="a b c", expected="x y z")]
    twice: list[Any] = [{"metric": "RegexMatch", "regex": "^a"}, {"metric": "RegexMatch", "regex": "z$"}]
    request = EvaluateRequest(agent="a", test_cases=cases, metrics=["JSDistance", *twice])
    found = spans.evaluate_agent(work, request)
    assert [(each.metric, each.better, each.mean) for each in found.metrics] == [
        ("JSDistance", "lower", pytest.approx(0.5)), ("RegexMatch", "higher", 1), ("RegexMatch 2", "higher", 0),
    ]  # fmt: skip
    assert [case.scores["JSDistance"] for case in found.cases] == pytest.approx([1, 0])


CASES: list[dict[str, Any]] = [
    {"input": "capital of France?", "output": "Paris", "expected": "Paris"},
    {"input": "capital of Spain?", "output": "Lisbon", "expected": "Madrid"},
    {"input": "a list", "output": "[1, 2]", "expected": "[1, 2]"},
    {"input": "nothing was expected", "output": "so what"},
]


async def test_answers_are_scored_by_opiks_own_metrics_and_kept_with_their_traces(client: Client) -> None:
    metrics = ["Equals", "LevenshteinRatio", "IsJson", {"metric": "RegexMatch", "regex": "^[A-Z]"}]
    view = await answer(
        client, "evaluate_agent", agent="geographer", test_cases=CASES, scoring_metrics=metrics, wait_s=50
    )
    found = {metric["metric"]: metric for metric in view["result"]["metrics"]}
    assert (found["Equals"]["mean"], found["Equals"]["not_evaluated"]) == (pytest.approx(2 / 3), 1)
    assert found["Equals"]["why"] == "the case has no expected value"
    assert (found["IsJson"]["mean"], found["RegexMatch"]["mean"]) == (0.25, 0.5)
    cases = view["result"]["cases"]
    assert len(cases) == 4
    perfect = next(case for case in cases if case["scores"].get("Equals") == 1 and case["scores"]["RegexMatch"] == 1)
    shown = await answer(client, "get_trace", trace=perfect["trace"], detail="full")
    assert shown["spans"][0]["scores"]["Equals"] == 1
    assert shown["spans"][0]["tags"] == ["evaluation", "geographer"]


async def test_every_offline_metric_scores_something(client: Client) -> None:
    turns = [{"role": "user", "content": "My name is Ann."}, {"role": "assistant", "content": "Hello Ann."}] * 2
    case = {"input": "x", "output": "a b c", "expected": "a b d", "conversation": turns}
    ranked = {"output": ["a", "b", "c"], "expected": ["a", "c", "b"]}
    plain = [name for name in OFFLINE if name not in ("RegexMatch", "SpearmanRanking")]
    view = await answer(
        client, "evaluate_agent", agent="a", test_cases=[case], wait_s=50,
        scoring_metrics=[*plain, {"metric": "RegexMatch", "regex": "a"}],
    )  # fmt: skip
    missing = [each for each in view["result"]["metrics"] if each["not_evaluated"]]
    assert missing == []
    view = await answer(
        client, "evaluate_agent", agent="a", test_cases=[ranked], scoring_metrics=["SpearmanRanking"], wait_s=50
    )
    assert view["result"]["metrics"][0]["mean"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        ([], "no metric was named"),
        (["Eqals"], "Did you mean Equals"),
        ([NEEDS_MODEL[0]], "needs a language model"),
        ([next(iter(NEEDS_PACKAGE))], "needs the package nltk"),
        (["RegexMatch"], "RegexMatch cannot use"),
        ([{"metric": "RegexMatch", "regex": "("}], "RegexMatch cannot use"),
        ([{"metric": "Equals", "case_sensitve": True}], "Did you mean case_sensitive"),
    ],
)
def test_a_metric_that_cannot_be_computed_is_refused_with_those_that_can(metrics: list[Any], says: str) -> None:
    with pytest.raises(ToolFailure, match=says):
        chosen(metrics)


def test_the_metrics_that_need_more_are_opiks_own() -> None:
    library = json.loads(
        json.dumps([name for name in dir(__import__("opik.evaluation.metrics", fromlist=["x"])) if name[0].isupper()])
    )
    assert {*NEEDS_MODEL, *NEEDS_PACKAGE, *OFFLINE} <= set(library)
