"""Put a candidate into Production if it passes its gates, and keep the evidence with the version."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ..data.store import Dataset, resolve
from ..errors import ToolFailure, Unavailable
from ..estimates import Verdict
from ..handles import parse_model
from ..modeling.metrics import metric_named
from ..modeling.store import StoredModel, find_model, load_pipeline
from ..quality.client import get_suite
from ..runtime.work import Work
from ..tracking.client import log_text
from ..tracking.connection import opened
from ..tracking.models import cut
from ..undo import deletes
from .client import register_model, same_source
from .gates import Contest, evaluated
from .models import Comparison, Gate, GateName, Judged, PromoteRequest, Promotion, Transition
from .stages import Mover, move
from .versions import JUDGED, PROMOTION, bare_name, changing, check_name, handle_of, read_versions

# Loading comes first: nothing can be said of a model that does not.
ORDER: tuple[GateName, ...] = ("load", "signature", "validation", "drift", "comparison")
EVIDENCE_CHARS = 500
BY = "promote_model"
# The tag of the verdict; those of its gates and its report begin with it.
TAG = PROMOTION
LATE = "another version was put into Production meanwhile: call again to be compared with that one"


@dataclass(frozen=True)
class Candidate:
    """A version, its model or why it cannot be used, and whether it was registered for this promotion."""

    version: str
    model: StoredModel | None
    failure: str = ""
    new: bool = False


@dataclass(frozen=True)
class Judgement:
    """What the gates said of a candidate that was held against the version in Production `before`."""

    dataset: str
    before: str | None
    gates: list[Gate]
    comparison: Comparison | None
    notes: list[str]
    verdict: Verdict


def promote_model(work: Work, request: PromoteRequest) -> Promotion:
    """Judge a candidate on a dataset and, if it passes, put it into Production in place of the version there.

    A candidate that is not registered under the name yet becomes its next version.

    Raises:
        ToolFailure: an unknown name, dataset, suite, metric or column, or a candidate that is in Production already.
    """
    request = request.model_copy(update={"name": check_name(bare_name(request.name)), "gates": _wanted(request)})
    source = resolve(work, request.dataset)
    if request.suite:
        get_suite(work, request.suite, "short", 1, "")
    candidate = _candidate(work, request)
    before = _in_production(work, request.name)
    if before == candidate.version:
        raise ToolFailure(f"{before} is in Production already", f"get_model({before!r}) shows what is known of it.")
    found = _judged(work, request, source, candidate, before)
    run, report = _keep(work, candidate.version, found)
    moved = _moved(work, request.name, candidate, found) if found.verdict == "passed" else None
    if moved is None and found.verdict == "passed":
        found = replace(found, verdict="not_evaluated", notes=[*found.notes, LATE])
        _tag(work, candidate.version, f"not_evaluated: {LATE}", found, report)
    return Promotion(
        model=candidate.version,
        promoted=moved is not None,
        verdict=found.verdict,
        before=before,
        comparison=found.comparison,
        gates=found.gates,
        run=run,
        report=report,
        notes=found.notes,
        undo=moved.undo if moved else deletes(candidate.version) if candidate.new else None,
    )


def _wanted(request: PromoteRequest) -> list[GateName]:
    asked = request.gates or [name for name in ORDER if name != "validation" or request.suite]
    if "validation" in asked and not request.suite:
        raise ToolFailure("validation needs rules", "Pass the `suite` that the dataset has to pass.")
    return [name for name in ORDER if name in asked or name == "load" or (name == "validation" and request.suite)]


def _candidate(work: Work, request: PromoteRequest) -> Candidate:
    """Raises ToolFailure for a model that does not exist or, if it is no version yet, cannot be used."""
    if request.candidate.startswith(("model:", "models:/")) and not request.candidate.startswith("models:/m-"):
        wanted = parse_model(request.candidate)
        if wanted.name == request.name:
            with opened(work) as client:
                versions = read_versions(client, wanted.name)
                version = handle_of(versions.named(wanted))
            model, notes = _usable(work, version)
            return Candidate(version, model, "".join(notes))
    source = find_model(work, request.candidate)
    with opened(work) as client:
        new = same_source(client, request.name, source) is None
    version = register_model(work, request.candidate, request.name, {}, "").model
    return Candidate(version, find_model(work, version), new=new)


def _usable(work: Work, version: str | None) -> tuple[StoredModel | None, list[str]]:
    """The model of a version, or a note on why it cannot be used."""
    if version is None:
        return None, []
    try:
        model = find_model(work, version)
        load_pipeline(model)
    except Unavailable:
        raise
    except ToolFailure as failure:
        return None, [f"{version} cannot be used: {failure}"]
    return model, []


def _in_production(work: Work, name: str) -> str | None:
    with opened(work) as client:
        found = read_versions(client, name).in_production
    return handle_of(found) if found else None


def _judged(
    work: Work, request: PromoteRequest, source: Dataset, candidate: Candidate, before: str | None
) -> Judgement:
    """What each gate says; of a candidate that cannot be used only that."""
    if candidate.model is None:
        failed = Gate(gate="load", verdict="failed", evidence=candidate.failure)
        return Judgement(source.handle, before, [failed], None, [], "failed")
    source.require([candidate.model.card.target, *([request.group] if request.group else [])])
    metric = metric_named(request.metric, candidate.model.card)
    present, notes = _usable(work, before)
    contest = Contest(work, request, source, candidate.model, present, metric, notes)
    found: list[tuple[Gate, Comparison | None]] = []
    for place, name in enumerate(request.gates):
        work.progress(place, len(request.gates), name)
        with work.tracer.span(f"gate {name}") as span:
            found.append(evaluated(name, contest))
            span.set_output(found[-1][0].model_dump())
    comparison = next((compared for _, compared in found if compared), None)
    gates = [gate for gate, _ in found]
    return Judgement(source.handle, before, gates, comparison, notes, _overall(gates))


def _overall(gates: list[Gate]) -> Verdict:
    said = {gate.verdict for gate in gates}
    return "failed" if "failed" in said else "not_evaluated" if "not_evaluated" in said else "passed"


def _moved(work: Work, name: str, candidate: Candidate, found: Judgement) -> Transition | None:
    """The move, unless another version than the one it was compared with is in Production by now.

    Raises:
        ToolFailure: another call has put the same candidate there.
    """
    with opened(work) as client, changing(work):
        versions = read_versions(client, name)
        present = versions.in_production
        now = handle_of(present) if present else None
        if now == candidate.version:
            raise ToolFailure(
                f"{now} was put into Production by another call meanwhile", f"get_model({now!r}) shows its evidence."
            )
        if now != found.before:
            return None
        return move(
            client,
            versions,
            versions.named(parse_model(candidate.version)),
            "Production",
            True,
            Mover(BY, work.by.name),
        )


def _keep(work: Work, version: str, found: Judgement) -> tuple[str | None, str | None]:
    """Lay a report into the run of the model, and tag the version with the decision."""
    now, wanted = datetime.now(UTC), parse_model(version)
    with opened(work) as client:
        run = client.get_model_version(wanted.name, wanted.version).run_id
    path = f"promotion/{wanted.name}_{wanted.version}_{now:%Y%m%dT%H%M%S%f}.md" if run else None
    try:
        log_text(work, run, path, _report(version, found, now)) if run and path else None
    except ToolFailure as failure:
        found.notes.append(f"the report could not be stored: {failure}")
        path = None
    _tag(work, version, f"{found.verdict} on {found.dataset}", found, path)
    return f"run:{run}" if run else None, path


def _tag(work: Work, version: str, verdict: str, found: Judgement, report: str | None) -> None:
    """Put one decision in place of the one before: the old verdict goes first and the new one comes last."""
    tags = {f"{TAG}.{gate.gate}": cut(f"{gate.verdict}: {gate.evidence}", EVIDENCE_CHARS) for gate in found.gates}
    tags |= {f"{TAG}.report": report} if report else {}
    tags[JUDGED] = _judged_by(work, found).model_dump_json()
    wanted = parse_model(version)
    with opened(work) as client, changing(work):
        held = client.get_model_version(wanted.name, wanted.version).tags
        for key in sorted(key for key in held if key in (TAG, JUDGED) or key.startswith(f"{TAG}.")):
            client.delete_model_version_tag(wanted.name, wanted.version, key)
        for key, value in (tags | {TAG: verdict}).items():
            client.set_model_version_tag(wanted.name, wanted.version, key, value)


def _judged_by(work: Work, found: Judgement) -> Judged:
    gates = [gate.model_copy(update={"evidence": cut(gate.evidence, EVIDENCE_CHARS)}) for gate in found.gates]
    return Judged(
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        who=work.by.name or None,
        dataset=found.dataset,
        against=found.before,
        verdict=found.verdict,
        gates=gates,
        comparison=found.comparison,
    )


def _report(version: str, found: Judgement, now: datetime) -> str:
    rows = [f"| {gate.gate} | {gate.verdict} | {_cell(gate.evidence)} |" for gate in found.gates]
    lines = [
        f"# Promotion of {version}: {found.verdict}",
        "",
        f"Judged on {found.dataset}, against {found.before or 'no version in Production'}, "
        f"at {now.isoformat(timespec='seconds')}.",
        "",
        "| gate | verdict | evidence |",
        "|---|---|---|",
        *rows,
        *(f"\n{_cell(note)}" for note in found.notes),
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
