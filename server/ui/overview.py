"""The first page: what there is and what runs."""

from __future__ import annotations

from ..html.markup import Html, joined, tag
from ..html.values import Column, number, pairs, plain, state, table
from ..status.snapshot import SHOWN, Snapshot, look
from .asking import Asked, Sources
from .frame import Page, linked, problem


async def overview(sources: Sources, _asked: Asked) -> Page:
    """What `status` shows."""
    found = await sources.look(look)
    body = joined(
        tag("p", f"As of {found.taken}.", class_="faint"),
        [problem(each) for each in found.problems],
        tag("h2", "Now"),
        pairs({
            "jobs": plain(found.states),
            "endpoints": str(len(found.endpoints)),
            "spans that wait for Opik": str(found.waiting),
        }),
        _tables(found),
    )  # fmt: skip
    return Page("Overview", body, "/")


def _tables(found: Snapshot) -> Html:
    jobs = [(linked(e.job), e.tool, state(e.state), number(e.seconds), e.said) for e in found.jobs[:SHOWN]]
    views = [
        (linked(view.endpoint), state(view.state), linked(each.bento), f"{each.percent}", str(each.requests))
        for view in found.endpoints
        for each in view.versions
    ]
    traces = [(linked(e.trace), e.name, number(e.seconds), str(e.spans), str(e.errors)) for e in found.traces]
    backends = [(e.name, state(e.state), e.where, number(e.milliseconds), e.detail) for e in found.backends]
    seconds, calls = Column("s", number=True), Column("calls", number=True)
    return joined(
        jobs and table("Latest jobs", ("job", "tool", "state", seconds, "progress or error"), jobs),
        views and table("Endpoints", ("endpoint", "state", "bento", Column("%", number=True), calls), views),
        traces and table(
            "Latest traces",
            ("trace", "name", seconds, Column("spans", number=True), Column("failed", number=True)), traces,
        ),
        table("Backends", ("backend", "state", "where", Column("ms", number=True), "remark"), backends),
    )  # fmt: skip
