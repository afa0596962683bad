"""The lists: runs, studies, datasets, traces, endpoints and jobs, a page at a time."""

from __future__ import annotations

from collections.abc import Callable

from ...config.settings import Settings
from ...tools.data import client as data
from ...tools.jobs.models import JobSummary
from ...tools.observability import client as observability
from ...tools.paging import Page as Listed
from ...tools.paging import keyset_page, position_of
from ...tools.runtime.jobs.launch import table_of
from ...tools.serving import client as serving
from ...tools.tracking import client as tracking
from ...tools.tuning import studies as tuning
from ..html.markup import Html, joined, tag
from ..html.values import Column, moment, number, plain, state
from .asking import Asked, Sources
from .frame import Page, linked, listing

LINES = 25
NONE = tag("p", "There is none yet.", class_="faint")


async def runs(sources: Sources, asked: Asked) -> Page:
    """Runs of MLflow, by its own filter and order."""
    if sources.is_empty("tracking"):
        return Page("Runs", NONE, "/runs")
    wanted = (asked.experiment, asked.where, asked.order, LINES, asked.cursor)
    found = await sources.read("tracking", tracking.search_runs, *wanted)
    columns = (Column("run"), "name", "status", "started", "metrics", "params")
    rows = [
        (linked(each.run), each.name, state(each.status), moment(each.started), plain(each.metrics), plain(each.params))
        for each in found.items
    ]
    return Page("Runs", joined(_filter(asked), listing("/runs", asked, found, columns, rows)), "/runs")


def _filter(asked: Asked) -> Html:
    fields = (
        ("experiment", "Experiment", asked.experiment),
        ("where", "Filter, e.g. metrics.auc > 0.9", asked.where),
        ("order", "Order, e.g. metrics.auc desc", asked.order),
    )
    inputs = [tag("label", words, tag("input", name=name, value=value)) for name, words, value in fields]
    return tag("form", inputs, tag("button", "Show"), action="/runs", method="get", role="search")


async def studies(sources: Sources, asked: Asked) -> Page:
    found = await sources.read("tuning", tuning.list_studies, LINES, asked.cursor)
    columns = ("study", "algorithm", "metric", "direction", Column("best", number=True), "trials")
    rows = [
        (linked(each.study), each.algorithm, each.metric, each.direction, number(each.best_value), plain(each.states))
        for each in found.items
    ]
    return Page("Studies", listing("/studies", asked, found, columns, rows), "/studies")


async def datasets(sources: Sources, asked: Asked) -> Page:
    found = await sources.read("data", data.list_datasets, LINES, asked.cursor)
    columns = ("dataset", Column("rows", number=True), Column("columns", number=True), "first columns", "from", "made")
    rows = [
        (
            linked(each.dataset),
            each.rows,
            each.column_count,
            plain(each.first_columns),
            each.source,
            moment(each.created),
        )
        for each in found.items
    ]
    return Page("Datasets", listing("/datasets", asked, found, columns, rows), "/datasets")


async def traces(sources: Sources, asked: Asked) -> Page:
    found = await sources.read("observability", observability.search_traces, asked.where, False, LINES, asked.cursor)
    columns = ("trace", "name", "started", Column("s", number=True), Column("spans", number=True), "failed")
    rows = [
        (linked(each.trace), each.name, moment(each.start), number(each.seconds), each.spans, _failed(each.errors))
        for each in found.items
    ]
    return Page("Traces", listing("/traces", asked, found, columns, rows), "/traces")


def _failed(errors: int) -> Html | str:
    return tag("span", f"{errors} failed", class_="bad") if errors else "none"


async def endpoints(sources: Sources, asked: Asked) -> Page:
    found = await sources.read("serving", serving.list_endpoints, LINES, asked.cursor)
    columns = ("endpoint", "state", "traffic in %", "address", "remarks")
    rows = [
        (linked(each.endpoint), state(each.state), plain(each.traffic, linked), each.url, plain(each.notes))
        for each in found.items
    ]
    return Page("Endpoints", listing("/endpoints", asked, found, columns, rows), "/endpoints")


async def jobs(sources: Sources, asked: Asked) -> Page:
    if sources.is_empty("jobs"):
        return Page("Jobs", NONE, "/jobs")
    found = await sources.look(_jobs(asked.cursor))
    columns = ("job", "tool", "state", Column("s", number=True), "progress or error")
    rows = [(linked(each.job), each.tool, state(each.state), number(each.seconds), _said(each)) for each in found.items]
    return Page("Jobs", listing("/jobs", asked, found, columns, rows), "/jobs")


def _jobs(cursor: str) -> Callable[[Settings], Listed[JobSummary]]:
    def look(settings: Settings) -> Listed[JobSummary]:
        table = table_of(settings)
        rows = table.recent(LINES + 1, position_of("jobs", cursor))
        shown, more = keyset_page("jobs", rows, LINES, lambda row: row.position)
        return Listed[JobSummary](items=[JobSummary.of(row) for row in shown], total=table.count(), next_cursor=more)

    return look


def _said(job: JobSummary) -> str:
    return job.error or (job.progress.words if job.progress else "")
