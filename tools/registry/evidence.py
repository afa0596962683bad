"""Why a version is where it is: its move, its judgement, and what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, get_args

from pydantic import ValidationError

from ..decisions import Decision, Decisions
from ..estimates import Verdict
from ..handles import Handle, parse_model
from ..runtime.work import Work
from ..tracking.connection import opened
from ..tracking.models import cut
from .models import Gate, GateName, Judged, Stage, StageChange, WhyThere
from .promotion import BY, ORDER, TAG
from .stages import history_of
from .versions import JUDGED, handle_of, read_versions

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

DECISIONS, BRIEF = 5, 500


def explain_promotion(work: Work, model: str) -> WhyThere:
    """Why a version is in its stage; of a name, the version in Production, else the newest."""
    wanted = parse_model(model)
    with opened(work) as client:
        versions = read_versions(client, wanted.name)
    named = bool(wanted.version or wanted.alias)
    chosen = versions.named(wanted) if named else versions.in_production or versions.all[0]
    stage, tags = cast(Stage, chosen.current_stage or "None"), dict(chosen.tags or {})
    moved = next((change for change in history_of([chosen]) if change.to_stage == stage), None)
    judged, about, log = _judged(tags), _about(chosen), Decisions(work.home)
    report, run = tags.get(f"{TAG}.report"), chosen.run_id
    return WhyThere(
        model=handle_of(chosen),
        stage=stage,
        since=moved.at if moved else None,
        by=moved.by if moved else None,
        who=moved.who if moved else None,
        replaced=str(Handle("model", wanted.name, str(moved.replaced))) if moved and moved.replaced else None,
        judged=judged,
        run=f"run:{run}" if run else None,
        report=report,
        decisions=_newest(log, about),
        notes=[*_notes(stage, moved, judged), *_older(log, about)],
    )


def _judged(tags: dict[str, str]) -> Judged | None:
    """What was kept of the last judgement; one of an older version is read from the tags that are for people."""
    try:
        return Judged.model_validate_json(tags[JUDGED])
    except KeyError:
        pass
    except ValidationError:  # somebody else has written it
        return None
    verdict, _, dataset = tags.get(TAG, "").partition(" on ")
    gates = [gate for name in ORDER if (gate := _gate(name, tags.get(f"{TAG}.{name}", "")))]
    if verdict not in get_args(Verdict) or not gates:
        return None
    return Judged(at="", dataset=dataset, verdict=cast(Verdict, verdict), gates=gates)


def _gate(name: GateName, text: str) -> Gate | None:
    verdict, _, evidence = text.partition(": ")
    return Gate(gate=name, verdict=cast(Verdict, verdict), evidence=evidence) if verdict in get_args(Verdict) else None


def _about(version: MlflowVersion) -> list[str]:
    """What decisions about a version are about: itself (and its name), the logged model it stands for, and its run."""
    about = [handle_of(version), version.source or "", f"run:{version.run_id}" if version.run_id else ""]
    return list(filter(None, about))


def _newest(log: Decisions, about: list[str]) -> list[Decision]:
    shown = [entry.shown() for entry in log.listed(about, DECISIONS)]
    return [each.model_copy(update={"reason": cut(each.reason, BRIEF)}) for each in shown]


def _older(log: Decisions, about: list[str]) -> list[str]:
    """How many more there are and where, so that nobody pushes one out of sight by others."""
    if (count := log.count(about)) <= DECISIONS:
        return []
    numbers = [f"{number} about {handle}" for handle in about if (number := log.count([handle]))]
    return [f"only the {DECISIONS} newest of {count} decisions are shown: list_decisions has {', '.join(numbers)}"]


def _notes(stage: Stage, moved: StageChange | None, judged: Judged | None) -> list[str]:
    """What the reader would otherwise take for granted."""
    notes: list[str] = []
    if stage == "None":
        return ["nobody has put it into a stage"]
    if moved is None:
        notes.append(f"it was put into {stage} by something else than the tools of this server")
    elif stage == "Production" and moved.by != BY:
        notes.append(f"{moved.by} put it there, which asks for no gate")
    if judged is None:
        notes.append("promote_model has never judged it")
    elif judged.verdict != "passed":
        notes.append(f"promote_model said {judged.verdict} when it judged it last")
    return notes
