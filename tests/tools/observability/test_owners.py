"""Whose a trace is that no request has begun."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.observability.client import get_trace, search_traces
from mlops_mcp.tools.observability.models import Case, EvaluateRequest
from mlops_mcp.tools.observability.spans import end_span, evaluate_agent, start_span
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.runtime.work import Work

pytestmark = pytest.mark.slow


def test_the_cases_of_an_evaluation_belong_to_who_asked_for_it(work: Work) -> None:
    ann, bob = (replace(work, by=Identity(name, "write")) for name in ("ann", "bob"))
    request = EvaluateRequest(agent="a", test_cases=[Case(output="x", expected="x")], metrics=["Equals"])
    judged = evaluate_agent(replace(work, by=Identity("ann")), request)
    trace = judged.cases[0].trace
    assert get_trace(ann, trace, "", "short", 10).trace == trace
    with pytest.raises(ToolFailure, match="unknown trace"):
        get_trace(bob, trace, "", "short", 10)
    found = [search_traces(each, "", False, 10, "").total for each in (ann, bob, work)]
    assert found == [1, 0, 1]


def test_nobody_says_of_himself_that_he_is_another(work: Work) -> None:
    ann, bob = (replace(work, by=Identity(name, "write")) for name in ("ann", "bob"))
    forged = start_span(bob, "s", "", "", "", None, {"mlops.owner": "ann"})
    with pytest.raises(ToolFailure, match="unknown span"):
        end_span(ann, forged.span, "ok", "", None, {})
    end_span(bob, forged.span, "ok", "", None, {"mlops.owner": "ann"})
    assert [search_traces(each, "", False, 10, "").total for each in (ann, bob)] == [0, 1]
