"""The pages of registered models: their versions, and why one is where it is."""

from __future__ import annotations

import asyncio

from ...tools.decisions import Decision
from ...tools.errors import unknown
from ...tools.handles import Handle
from ...tools.registry import client as registry
from ...tools.registry import evidence
from ...tools.registry.models import Comparison, Gate, ModelVersion, RegisteredModel, StageChange, WhyThere
from ..html.markup import Child, Html, joined, tag
from ..html.values import Column, facts, moment, notes, number, pairs, plain, state, table
from .asking import Asked, Sources
from .frame import Page, history, linked, listing
from .lists import LINES, NONE

VERSIONS = 50


async def models(sources: Sources, asked: Asked) -> Page:
    if sources.is_empty("tracking"):
        return Page("Models", NONE, "/models")
    found = await sources.read("registry", registry.list_models, LINES, asked.cursor)
    columns = ("model", Column("newest version", number=True), "aliases", "description")
    rows = [
        (linked(f"model:{each.name}"), number(each.latest_version), plain(each.aliases), each.description)
        for each in found.items
    ]
    return Page("Models", listing("/models", asked, found, columns, rows), "/models")


async def model(sources: Sources, asked: Asked) -> Page:
    """A version; of a name the one in Production, else the newest."""
    wanted = asked.model()
    if sources.is_empty("tracking"):
        raise unknown("registered model", wanted.name, [])
    found, why = await asyncio.gather(
        sources.read("registry", registry.get_model, str(wanted), VERSIONS, False),
        sources.read("registry", evidence.explain_promotion, str(wanted)),
    )
    body = joined(
        facts(found, linked, without=("versions", "omitted", "history", "inputs", "foreign", "notes")),
        notes(found.notes),
        _why(why),
        _all_versions(found),
        found.history and table("Changes of stage", CHANGED, [_change(found.name, each) for each in found.history]),
        found.inputs and table("What it takes", ("column", "kind"), [(each.name, each.kind) for each in found.inputs]),
        history(why.model),
    )
    return Page(why.model, body, "/models")


def _why(why: WhyThere) -> Html:
    judged = why.judged
    return joined(
        tag("h2", f"Why it is in {why.stage}" if why.stage != "None" else "Why it is in no stage"),
        facts(why, linked, without=("stage", "judged", "decisions", "notes")),
        notes(why.notes),
        judged
        and joined(tag("h3", "As promote_model judged it"), facts(judged, linked, without=("gates", "comparison"))),
        judged and judged.comparison and _compared(judged.comparison),
        judged and table("Gates", ("gate", "verdict", "evidence"), [_gate(each) for each in judged.gates]),
        why.decisions and table("Decisions", DECIDED, [_decision(each) for each in why.decisions]),
    )


def _compared(found: Comparison) -> Html:
    gain, interval = found.gain, found.gain.interval
    surely = f" ({number(interval[0])} to {number(interval[1])}, {gain.method})" if interval else ""
    scores = f"{number(found.candidate_score)} against {number(found.against_score)}"
    told: dict[str, Child] = {
        "compared with": linked(found.against), found.metric: scores, "gain": f"{number(gain.value)}{surely}",
        "rows": str(gain.n),
    }  # fmt: skip
    return joined(tag("h3", "Comparison"), pairs(told))


def _gate(each: Gate) -> tuple[Child, ...]:
    return (each.gate, state(each.verdict), each.evidence)


DECIDED = ("what", "why", "not chosen", "by", "when", "about")


def _decision(each: Decision) -> tuple[Child, ...]:
    who = ", ".join(filter(None, (each.agent, each.by)))
    return (each.decided, each.reason, plain(each.alternatives), who, moment(each.at), plain(each.handles, linked))


def _all_versions(found: RegisteredModel) -> Html:
    columns = (Column("version"), "stage", "aliases", "of", "run", "made", "description")
    left = found.omitted and tag("p", f"{found.omitted} older versions are not shown.", class_="faint")
    return joined(table("Versions", columns, [_version(found.name, each) for each in found.versions]), left)


def _version(name: str, each: ModelVersion) -> tuple[Child, ...]:
    run = linked(each.run) if each.run else "-"
    made = (each.source, run, moment(each.created), each.description)
    return (linked(_handle(name, each.version)), each.stage, plain(each.aliases), *made)


CHANGED = ("when", "version", "from", "to", "by", "who", "in the place of")


def _change(name: str, each: StageChange) -> tuple[Child, ...]:
    replaced = linked(_handle(name, each.replaced)) if each.replaced else "-"
    moved = (linked(_handle(name, each.version)), each.from_stage, each.to_stage)
    return (moment(each.at), *moved, each.by, each.who or "-", replaced)


def _handle(name: str, version: int) -> str:
    return str(Handle("model", name, str(version)))
