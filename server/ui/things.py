"""The pages of single things, and the lineage between them."""

from __future__ import annotations

import json
from collections.abc import Callable

from ...config.settings import Settings
from ...tools.data import description
from ...tools.data.models import ColumnProfile
from ...tools.errors import unknown
from ...tools.observability import client as observability
from ...tools.observability.models import LineageGraph
from ...tools.runtime.jobs.launch import table_of
from ...tools.runtime.jobs.table import JobRow
from ...tools.serving import client as serving
from ...tools.serving.models import Version
from ...tools.tracking import client as tracking
from ...tools.tuning import client as tuning
from ...tools.tuning.models import Trial
from ..html.charts import MOST, Bar, bars, line
from ..html.graph import edges_of, lineage
from ..html.markup import Html, joined, tag
from ..html.tree import trace_tree
from ..html.values import Column, facts, moment, notes, number, pairs, plain, state, table, whole
from .asking import Asked, Sources
from .frame import OWN_PAGE, Page, history, link, linked

SPANS, EDGES, COLUMNS, EVENTS = 200, 60, 50, 50


async def run(sources: Sources, asked: Asked) -> Page:
    handle = asked.handle("run")
    if sources.is_empty("tracking"):
        raise unknown("run", handle, [])
    found = await sources.read("tracking", tracking.get_run, handle, [])
    body = joined(
        facts(found, linked, without=("params", "metrics", "tags", "notes", "undo")),
        notes(found.notes),
        _named("Metrics", {name: number(value) for name, value in found.metrics.items()}, numbers=True),
        _named("Parameters", found.params),
        _named("Tags", found.tags),
        history(handle),
    )
    return Page(found.name or handle, body, "/runs")


def _named(title: str, values: dict[str, str], numbers: bool = False) -> Html:
    if not values:
        return Html()
    return table(title, ("name", Column("value", number=numbers)), list(values.items()))


async def study(sources: Sources, asked: Asked) -> Page:
    found = await sources.read("tuning", tuning.get_study, asked.handle("study"), MOST)
    named = found.metric or "value"
    tried = [(each.number, each.value) for each in found.history or ()]
    best = [(each.number, each.best) for each in found.history or ()]
    body = joined(
        facts(found, linked, without=("best", "top", "importance", "history")),
        len(tried) > 1 and joined(tag("h2", "Over the trials"), line(f"{named} over the trials", best, tried)),
        found.top and tag("h2", "The best"),
        bars(f"the best trials by {named}", [bar for each in found.top for bar in _trial_bar(each)]),
        table(
            "Best trials",
            (Column("trial", number=True), "state", Column("value", number=True), "parameters"),
            [(str(each.number), state(each.state), number(each.value), plain(each.params)) for each in found.top],
        ),
        found.importance and tag("h2", "Importance of the parameters"),
        bars("importance of the parameters", [Bar(name, value) for name, value in found.importance.items()]),
        history(found.study),
    )
    return Page(found.study, body, "/studies")


def _trial_bar(trial: Trial) -> list[Bar]:
    return [] if trial.value is None else [Bar(f"trial {trial.number}", trial.value)]


async def dataset(sources: Sources, asked: Asked) -> Page:
    handle = asked.handle("dataset")
    found = await sources.read("data", description.describe_dataset, handle, [], COLUMNS, asked.cursor)
    more = found.next_cursor and link("/dataset", Asked(of=handle, cursor=found.next_cursor), "Next columns")
    columns = (
        "column", "type", Column("missing", number=True), Column("unique", number=True), "least", "median", "most",
        "most frequent",
    )  # fmt: skip
    body = joined(
        facts(found, linked, without=("columns", "notes", "next_cursor")),
        notes(found.notes),
        table("Columns", columns, [_column(each) for each in found.columns]),
        more and tag("p", more),
        history(found.dataset),
    )
    return Page(found.dataset, body, "/datasets")


def _column(each: ColumnProfile) -> tuple[str | Html, ...]:
    unique = "-" if each.unique is None else str(each.unique)
    ranged = (plain(each.min), plain(each.median), plain(each.max))
    return (each.name, each.type, str(each.missing), unique, *ranged, plain(each.top))


async def trace(sources: Sources, asked: Asked) -> Page:
    found = await sources.read("observability", observability.get_trace, asked.handle("trace"), "", "full", SPANS)
    return Page(found.trace, trace_tree(found), "/traces")


async def endpoint(sources: Sources, asked: Asked) -> Page:
    found = await sources.read("serving", serving.get_endpoint, asked.handle("endpoint"))
    columns = (
        "bento", "model", "state", Column("%", number=True), Column("calls", number=True),
        Column("failed", number=True), Column("p50 ms", number=True), Column("p99 ms", number=True),
        Column("MB", number=True),
    )  # fmt: skip
    body = joined(
        facts(found, linked, without=("versions", "events", "notes")),
        notes(found.notes),
        table("Versions", columns, [_version(each) for each in found.versions]),
        table("Events", ("when", "what"), [(moment(e.at), e.what) for e in found.events[-EVENTS:][::-1]])
        if found.events
        else None,
        history(found.endpoint),
    )
    return Page(found.endpoint, body, "/endpoints")


def _version(each: Version) -> tuple[str | Html, ...]:
    share = "shadow" if each.shadow else str(each.percent)
    counted = (str(each.requests), str(each.errors), number(each.p50_ms), number(each.p99_ms), str(each.memory_mb))
    return (linked(each.bento), linked(each.model), state(each.state), share, *counted)


async def job(sources: Sources, asked: Asked) -> Page:
    handle = asked.handle("job")
    if sources.is_empty("jobs"):
        raise unknown("job", handle, [])
    row = await sources.look(_job(handle.removeprefix("job:")))
    told: dict[str, str | Html] = {
        "tool": row.tool, "state": state(row.state), "seconds": number(round(row.seconds, 1)), "by": row.owner,
        "attempt": f"{row.attempt} of {row.attempts}", "trace": row.trace_id and linked(f"trace:{row.trace_id}"),
    }  # fmt: skip
    asked_for, answered = tag("h2", "What was asked for"), tag("h2", "What it has made")
    body = joined(
        pairs({name: value for name, value in told.items() if value}),
        row.error and tag("p", row.error, class_="problem"),
        joined(asked_for, whole(json.loads(row.request))),
        (row.result or row.partial) and joined(answered, whole(json.loads(row.result or row.partial or "null"))),
    )
    return Page(f"job:{row.id}", body, "/jobs")


def _job(identity: str) -> Callable[[Settings], JobRow]:
    def look(settings: Settings) -> JobRow:
        try:
            return table_of(settings).get(identity)
        except KeyError:
            raise unknown("job", identity, [], "The list of jobs names those that there are.") from None

    return look


async def lineage_of(sources: Sources, asked: Asked) -> Page:
    """The graph around a thing; without one, the way to ask for it."""
    form = tag(
        "form",
        tag("label", "Handle, e.g. model:credit/1", tag("input", name="of", value=asked.of)),
        tag("button", "Show"),
        action="/lineage", method="get", role="search",
    )  # fmt: skip
    if not asked.of or sources.is_empty("observability"):
        none = asked.of and tag("p", "Nothing has a history yet.", class_="faint")
        return Page("Lineage", joined(form, none), "/lineage")
    found = await sources.read("observability", observability.get_lineage, asked.of, EDGES)
    return Page(f"Lineage of {found.handle}", joined(form, _graph(found)), "/lineage")


def _graph(found: LineageGraph) -> Html:
    kind = found.handle.partition(":")[0]
    own = kind in OWN_PAGE and tag("p", "See ", linked(found.handle))
    edges = table("Edges", ("made", "by", "from"), edges_of(found, linked))
    return joined(own, notes(found.notes), lineage(found, linked), edges)
