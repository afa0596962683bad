"""The sections of a report."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from ...tools.estimates import Estimate
from ...tools.explain.models import Explanation
from ...tools.training.models import Evaluation
from ...tools.tuning.models import Comparison, Tuned
from ..html.charts import Bar, bars
from ..html.document import document, style
from ..html.graph import edges_of, lineage
from ..html.markup import Html, joined, tag, text
from ..html.tree import trace_tree
from ..html.values import Column, facts, notes, number, pairs, plain, state, table
from .gathered import Gathered

MOST = 20


def drawn(found: Gathered, home: str, when: str) -> str:
    """The whole file."""
    title = f"Report of {found.about}"
    body = tag(
        "main",
        tag("h1", title),
        tag("p", f"Read from {home} at {when}.", class_="faint"),
        [tag("p", each, class_="problem") for each in found.problems],
        _each("Scores", map(_evaluation, found.evaluations)),
        _each("Models compared", map(_comparison, found.comparisons)),
        _each("Search", map(_search, found.searches)),
        _each("What the model goes by (SHAP)", map(_explanation, found.explanations)),
        _lineage(found),
        _jobs(found),
        found.tree and joined(tag("h2", "Trace"), trace_tree(found.tree)),
    )
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return document(title[:120], body, policy=policy)


def _each(title: str, sections: Iterable[Html]) -> Html:
    shown = list(sections)[-MOST:]
    return joined(tag("h2", title), shown) if shown else Html()


def _evaluation(found: Evaluation) -> Html:
    told = facts(found, without=("score", "metrics", "baseline_metrics", "estimates", "thresholds", "calibration",
                                 "slices", "notes", "undo"))  # fmt: skip
    estimates = {found.metric: found.score, **found.estimates}
    rows = [
        (name, number(value), number(found.baseline_metrics.get(name)), _interval(estimates.get(name)))
        for name, value in found.metrics.items()
    ]
    columns = ("metric", Column("value", number=True), Column("without features", number=True), "interval")
    verdict = found.score.verdict and tag("p", f"{found.metric}: {_sure(found.score)}, ", state(found.score.verdict))
    return joined(told, verdict, bars("scores with their intervals", [bar for name, each in estimates.items()
                  for bar in _bar(name, each)]), table("Scores", columns, rows), notes(found.notes))  # fmt: skip


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.interval is None:
        return ""
    low, high = estimate.interval
    return f"{number(low)} to {number(high)} ({estimate.method or 'interval'})"


def _sure(estimate: Estimate) -> str:
    interval = _interval(estimate)
    return f"{number(estimate.value)}, {interval}" if interval else number(estimate.value)


def _bar(name: str, estimate: Estimate) -> list[Bar]:
    if estimate.value is None:
        return []
    low, high = estimate.interval or (None, None)
    return [Bar(name, estimate.value, low, high)]


def _comparison(found: Comparison) -> Html:
    given = [bar for each in found.candidates if each.score for bar in _bar(each.candidate, each.score)]
    winner = (
        f"{found.winner} is better beyond doubt." if found.winner else "None is better than all others beyond doubt."
    )
    return joined(tag("p", winner), bars(f"candidates by {found.metric}", given), notes(found.notes))


def _search(found: Tuned) -> Html:
    left_out = ("importance", "best_params", "search_space", "notes", "undo", "best_folds", "score", "test")
    return joined(
        facts(found, without=left_out),
        table(
            "Best parameters",
            ("parameter", "value"),
            [(name, plain(value)) for name, value in found.best_params.items()],
        ),
        bars("importance of the parameters", [Bar(name, value) for name, value in found.importance.items()]),
        notes(found.notes),
    )


def _explanation(found: Explanation) -> Html:
    columns = (
        "feature",
        Column("share", number=True),
        Column("mean |SHAP|", number=True),
        Column("direction", number=True),
    )
    rows = [
        (each.feature, number(each.share), number(each.mean_abs), number(each.direction)) for each in found.importances
    ]
    return joined(
        facts(found, without=("importances", "notes", "undo")),
        bars("share of all mean absolute SHAP values", [Bar(each.feature, each.share) for each in found.importances]),
        table("Importances", columns, rows),
        notes(found.notes),
    )


def _lineage(found: Gathered) -> Html:
    if found.graph is None:
        return Html()
    edges = table("Edges", ("made", "by", "from"), edges_of(found.graph))
    return joined(tag("h2", f"Lineage of {found.graph.handle}"), lineage(found.graph, text), edges)


def _jobs(found: Gathered) -> Html:
    if not found.jobs:
        return Html()
    rows = [
        (f"job:{row.id}", row.tool, state(row.state), number(round(row.seconds, 2)), row.error or "")
        for row in found.jobs
    ]
    seconds = sum(row.seconds for row in found.jobs)
    columns = ("job", "tool", "state", Column("s", number=True), "error")
    told = pairs({"jobs": str(len(rows)), "seconds in all": number(round(seconds, 1))})
    return joined(tag("h2", "Jobs"), told, table("Jobs", columns, rows))
