"""The tracing of agents that are written in Python: the same store and shipper that the server's own calls go through.

```python
async with OpikConnector() as opik:
    client = opik.track_anthropic(AsyncAnthropic())
    async with opik.trace_agent("feature_analyzer", "interpret_shap") as span:
        span.add_event("shap_computed", {"samples": 200})
        async with opik.trace_llm_call("claude-sonnet-4-5", span) as llm:
            llm.log_tokens(1200, 300)
        await session.call_tool("explain_model", {...}, meta=span.meta)
```
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from statistics import fmean
from types import TracebackType
from typing import Any, TypeVar

from pydantic import JsonValue

from ...config.load import load
from ...config.settings import Settings
from ..numbers import finite
from ..tracing.agents.anthropic import tracked
from ..tracing.ids import like, trace_of
from ..tracing.opik.launcher import Launcher
from ..tracing.score import Score
from ..tracing.span import OWNER, Carrier, Span, Status, Tracer, current_span
from ..tracing.store.writer import TraceStore
from .evaluation import Verdict, chosen, evaluate
from .models import Case

Client = TypeVar("Client")
Task = Callable[[JsonValue], JsonValue | Awaitable[JsonValue]]
STATUSES: Mapping[str, Status] = {"ok": "ok", "error": "error", "cancelled": "cancelled"}


class SpanContext:
    """An open span of an agent."""

    def __init__(self, span: Span) -> None:
        self.span = span

    @property
    def span_id(self) -> str:
        return self.span.id

    @property
    def trace_id(self) -> str:
        return self.span.trace_id

    @property
    def meta(self) -> dict[str, str]:
        """What to send as `_meta` of an MCP call, so that it hangs below this span."""
        return {"opik_trace_id": self.span.trace_id, "opik_parent_span_id": self.span.id}

    def set_attribute(self, key: str, value: Any) -> None:
        self.span.set_attribute(key, value)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None) -> None:
        self.span.add_event(name, attributes)

    def set_status(self, status: str, message: str | None = None) -> None:
        """Say how it went: ok, error or cancelled, in any case of letters. Raises ValueError for another."""
        if status.lower() not in STATUSES:
            raise ValueError(f"a status is one of {', '.join(STATUSES)}, not {status!r}")
        self.span.set_status(STATUSES[status.lower()], message or "")

    def set_output(self, value: Any) -> None:
        self.span.set_output(value)


class LlmSpanContext(SpanContext):
    """An open call of a language model."""

    def log_tokens(self, input_tokens: int, output_tokens: int) -> None:
        self.span.log_tokens(input_tokens, output_tokens)


class OpikConnector:
    """Traces agents into the store of an installation, from where they are shipped to Opik if one is configured.

    Args:
        settings: of the installation; those of the environment and the configuration file if left out.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or load().settings
        tracing = self._settings.tracing
        self._store = TraceStore.of(self._settings)
        self._tracer = Tracer(self._store.put, tracing.capture_for(""))

    async def __aenter__(self) -> OpikConnector:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Write what is still in memory, and leave it to the shipper; blocking."""
        self._store.close()
        if self._settings.trace_store.exists():
            Launcher().look(self._settings)

    @asynccontextmanager
    async def trace_agent(
        self,
        agent_name: str,
        operation: str,
        trace_id: str | None = None,
        parent_span_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[SpanContext]:
        """Trace an operation of an agent; below the open span of this task if neither id is given.

        Args:
            trace_id: of a trace to join. A name of your own is turned into the same id each time.
            parent_span_id: of the span it belongs to, in that trace.

        Raises:
            ValueError: a parent without its trace.
        """
        if parent_span_id and not trace_id:
            raise ValueError("parent_span_id needs the trace_id of its trace")
        parent = Carrier(trace_of(trace_id), parent_span_id or "") if trace_id else None
        known = {"agent_name": agent_name, "operation": operation, "environment": self._settings.environment}
        attributes: dict[str, Any] = known | ({"trace_name": trace_id} if trace_id else {}) | dict(metadata or {})
        with self._tracer.span(f"{agent_name}.{operation}", parent=parent, announce=True) as span:
            for key, value in attributes.items():
                span.set_attribute(key, value)
            span.tags = [agent_name]
            yield SpanContext(span)

    @asynccontextmanager
    async def trace_llm_call(
        self, model: str, parent_span: SpanContext | None = None, prompt_template: str | None = None
    ) -> AsyncGenerator[LlmSpanContext]:
        """Trace a call of a language model, below `parent_span` or the open span of this task."""
        parent = parent_span.span.carrier if parent_span else None
        with self._tracer.span("llm_call", "llm", parent=parent, announce=True) as span:
            span.model = model
            if prompt_template is not None:
                span.set_attribute("prompt_template", prompt_template)
            yield LlmSpanContext(span)

    def track_anthropic(self, client: Client) -> Client:
        """A copy of an Anthropic client (sync or async) whose calls of the Messages API are spans.

        Streams, tools, `with_options`, raw responses and retries included; a call is a span below the one open when
        it is made, and ends with its response or stream, however that ends.
        """
        return tracked(client, self._tracer)

    def log_metric(self, name: str, value: float, span: SpanContext | None = None, as_score: bool = False) -> None:
        """Note a number on a span, that of this task if left out; `as_score` also shows it in Opik as a judgement.

        Raises:
            ValueError: there is no open span, or a score that is not finite.
        """
        open_span = span.span if span else current_span()
        if open_span is None:
            raise ValueError("there is no open span to log a metric on")
        open_span.set_attribute("metrics", {**open_span.metadata.get("metrics", {}), name: value})
        if as_score:
            self._store.put_score(Score("span", open_span.id, name, value))

    def log_feedback(self, trace_id: str, score: float, feedback_type: str = "quality", reason: str = "") -> None:
        """Judge a trace. Raises ValueError for a score that is not finite."""
        self._store.put_score(Score("trace", trace_of(trace_id), feedback_type, score, reason))

    async def evaluate_agent(
        self,
        agent_name: str,
        test_cases: Sequence[Mapping[str, Any]],
        metrics: Sequence[str | Mapping[str, JsonValue]],
        task: Task | None = None,
    ) -> dict[str, float]:
        """Judge an agent by test cases; the mean of each metric that could be computed.

        Args:
            test_cases: with `input`, `output`, `expected` and `conversation`, as far as the metrics need them.
            task: makes the output of a case from its input, where the case has none.

        Raises:
            ToolFailure: a metric that is unknown, or needs a model or a package.
            Exception: what `task` raises.
            pydantic.ValidationError: a case of another form.
        """
        wanted = chosen(metrics)
        cases = [await self._answered(Case.model_validate(case), task) for case in test_cases]
        verdicts = await asyncio.to_thread(evaluate, cases, wanted)
        for case, found in zip(cases, verdicts, strict=True):
            record_case(self._tracer, self._store, agent_name, case, found)
        return means(verdicts)

    async def _answered(self, case: Case, task: Task | None) -> Case:
        if task is None or case.output is not None:
            return case
        output = task(case.input)
        return case.model_copy(update={"output": await output if inspect.isawaitable(output) else output})


def record_case(
    tracer: Tracer,
    store: TraceStore,
    agent: str,
    case: Case,
    verdicts: Sequence[Verdict],
    again: str = "",
    owner: str = "",
) -> str:
    """Store a judged case as a trace of its own with its scores; the id of the trace.

    `again` is the id of that trace where the case may have been recorded before, `owner` the name of the token of who
    asked for it.
    """
    asked = case.model_dump(exclude={"output", "conversation"}, exclude_none=True)
    span = tracer.start(f"{agent}.evaluation", parent=Carrier(again), input=asked, agent_name=agent)
    span.id = like(again.replace("-", ""), "span") if again else span.id
    span.set_output(case.conversation or case.output)
    span.tags = ["evaluation", agent]
    if owner:
        span.set_attribute(OWNER, owner)
    failed = {each.metric: each.reason for each in verdicts if each.value is None}
    if failed:
        span.set_attribute("not_evaluated", failed)
    tracer.finish(span)
    for each in verdicts:
        if each.value is not None:
            store.put_score(Score("trace", span.trace_id, each.metric, each.value, each.reason))
    return span.trace_id


def means(verdicts: Sequence[Sequence[Verdict]]) -> dict[str, float]:
    """The mean of each metric over the cases where it could be computed."""
    values: dict[str, list[float]] = {}
    for verdict in (each for case in verdicts for each in case):
        if verdict.value is not None:
            values.setdefault(verdict.metric, []).append(verdict.value)
    return {metric: mean for metric, found in values.items() if (mean := finite(fmean(found))) is not None}
