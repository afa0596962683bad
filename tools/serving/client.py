"""Package models and run them as endpoints (BentoML)."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil

from ..data.answers import keep_answers
from ..errors import ToolFailure, unknown
from ..features.models import OnlineFeatures
from ..handles import parse
from ..lineage import Lineage
from ..locks import Busy
from ..paging import Page, page
from ..platforms import limits_memory
from ..runtime.work import Work
from ..undo import call, deletes
from . import endpoints, processes, reverse
from .bentos import Bento, find_bento, make_bento, require_bentoml, require_whole
from .connection import Connections, ServiceFailed, Unreachable, ask_predictions, is_ready
from .endpoint_tokens import known_token
from .joined import joined
from .models import (
    Deployed,
    Deployment,
    DeploymentLine,
    DeployRequest,
    EndpointFile,
    EndpointLine,
    Packaged,
    PackageRequest,
    Prediction,
    Row,
    State,
    Stopped,
    Traffic,
)
from .processes import Plan, free_ports, master

# What an endpoint was measured to take: its master, and each replica.
MASTER_MB = 200
REPLICA_MB = 400
TOKEN_NOTE = (
    'other programs POST {{"rows": […]}} there as application/json with the header Authorization: Bearer <token>, '
    "which `mlops-mcp endpoint-token {name}` prints on that machine"
)
MODELS = ("model:", "models:/", "run:", "m-")
# More numbers than these are left out of an answer.
MAX_PROBABILITIES = 400
MOST_BYTES = 1 << 50
UNITS = {"": 0, "k": 10, "ki": 10, "m": 20, "mi": 20, "g": 30, "gi": 30}
SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[kmg]i?|)b?")


def package_model(work: Work, request: PackageRequest) -> Packaged:
    """Build a bento of a model: its file, a service around it, pinned packages."""
    made = make_bento(work, request)
    bento, spec = made.bento, made.bento.spec
    Lineage(work.home).record(bento.handle, [made.model, spec.model_uri], "package_model")
    return Packaged(
        bento=bento.handle,
        model=made.model,
        task=spec.task,
        features=spec.features,
        classes=spec.classes,
        routes=["/predict", "/predict_rows"] if spec.batchable else ["/predict"],
        packages=spec.packages,
        built=made.built,
        notes=[] if made.built else ["this model was packaged before; nothing was built"],
        next=call("deploy_model", bento=bento.handle, endpoint=spec.name),
        undo=deletes(bento.handle) if made.built else None,
    )


def deploy_model(work: Work, request: DeployRequest) -> Deployed:
    """Start a bento, and give it the calls of an endpoint once it answers."""
    work.afterwards(forget_unfinished, request.endpoint)
    return deploy(work, request, free_ports())


def deploy(work: Work, request: DeployRequest, ports: Iterator[int]) -> Deployed:
    name = endpoints.endpoint_name(request.endpoint)
    require_bentoml(work)
    bento, model = _bento(work, request.bento)
    require_whole(work, bento)
    threads, memory = max(1, int(request.resources.cpu)), size(request.resources.memory)
    plan = Plan(name, bento, request.replicas, threads, memory, model)
    with endpoints.change(work, name):
        running = _settle(work, name)
        logging = keep_answers(work, name, request.log_sample)
        _require_room(plan, running, request.percent)
        work.progress(1, 3, f"starting {bento.handle}")
        began = time.perf_counter()
        with work.tracer.span("start service", bento=bento.handle, replicas=plan.replicas):
            made = _started(work, plan, running, ports)
        took = time.perf_counter() - began
        work.progress(2, 3, "switching the calls over")
        traffic, stopped = _switch(work, name, running, made, request.percent)
    Lineage(work.home).record(f"endpoint:{name}", [bento.handle], "deploy_model")
    return Deployed(
        endpoint=f"endpoint:{name}",
        bento=bento.handle,
        url=made.url,
        replicas=made.replicas,
        traffic=traffic,
        ready_seconds=round(took, 2),
        memory_mb=processes.memory_mb(work, name, made),
        memory_limit_mb=made.limit_mb,
        stopped=stopped,
        notes=[TOKEN_NOTE.format(name=name), *logging],
        next=f"predict(endpoint={f'endpoint:{name}'!r}, rows=[{{feature: value}}])",
        undo=reverse.of_deployment(name, running, made, request.percent),
    )


def set_traffic(work: Work, endpoint: str, bento: str, percent: int) -> Traffic:
    """Give one bento of an endpoint its percentage of the calls; the others share the rest as before."""
    name = endpoints.read(work, endpoint).endpoint
    with endpoints.change(work, name):
        state = endpoints.read(work, name)
        chosen = _deployment_of(state, bento)
        if percent and master(chosen) is None:
            raise ToolFailure(f"{chosen.bento} is dead", f"Deploy it again: {_redeploy(state)}")
        before = {each.id: each.percent for each in state.deployments}
        percents = endpoints.share(before, chosen.id, percent)
        _write(work, name, state.deployments, percents)
    state = endpoints.read(work, name)
    idle = [each.bento for each in state.deployments if not each.percent]
    notes = [f"{each} keeps running without calls; deploy_model replaces it, stop_endpoint ends it" for each in idle]
    undo = reverse.of_traffic(name, before, percents, {each.id: each.bento for each in state.deployments})
    return Traffic(endpoint=f"endpoint:{name}", traffic=_traffic(state), notes=notes, undo=undo)


def predict(work: Work, endpoint: str, rows: list[Row], known: OnlineFeatures | None = None) -> Prediction:
    """Ask the bento whose turn it is; if that one is dead, another one of the endpoint.

    Args:
        known: what the online store holds of the keys in the rows.
    """
    state = endpoints.read(work, endpoint)
    name = state.endpoint
    chosen, notes = _next(work, state)
    if known:
        rows, found = joined(rows, known, find_bento(work, chosen.bento).spec.features)
        notes += found
    began = time.perf_counter()
    try:
        with work.tracer.span("ask service", bento=chosen.bento, rows=len(rows)):
            answer = ask_predictions(work.once(_connections), chosen, known_token(work.home, name), rows)
    except Unreachable as error:
        raise ToolFailure(
            f"{chosen.bento} of endpoint:{name} does not answer: {error}", f"Deploy it again: {_redeploy(state)}"
        ) from error
    except ServiceFailed as error:
        said = processes.log_tail(work, name, chosen.id) or "(nothing)"
        raise ToolFailure(f"{chosen.bento} failed: HTTP {error.status}", f"Its log ends with: {said}") from error
    notes += answer.notes
    fits = len(rows) * len(answer.classes) <= MAX_PROBABILITIES
    if not fits:
        most = max(1, MAX_PROBABILITIES // len(answer.classes))
        notes.append(f"probabilities left out: {len(answer.classes)} for each row; send at most {most} rows for them")
    return Prediction(
        endpoint=f"endpoint:{name}",
        bento=chosen.bento,
        model=chosen.model or None,
        predictions=answer.predictions,
        probabilities=answer.probabilities if fits else None,
        classes=answer.classes,
        ms=round((time.perf_counter() - began) * 1000, 2),
        notes=notes,
    )


def list_endpoints(work: Work, limit: int, cursor: str) -> Page[EndpointLine]:
    """What runs, as seen from its processes."""
    chosen = page(endpoints.names(work), limit, cursor)
    lines = [_line(work, name) for name in chosen.items if endpoints.exists(work, name)]
    return Page(items=lines, total=chosen.total, next_cursor=chosen.next_cursor)


def forget_unfinished(work: Work, endpoint: str) -> None:
    """End what a deployment that did not come to its end has started; another one that is under way does so itself."""
    name = endpoints.endpoint_name(endpoint)
    with suppress(Busy), endpoints.change(work, name, wait_s=0):
        if not endpoints.exists(work, name):  # it was stopped meanwhile
            return
        state = endpoints.read(work, name)
        finished = [each for each in state.deployments if each.ready]
        # An orphan of a dead master goes with the next deployment: until then it shows what happened.
        processes.sweep(work, name, {each.id for each in finished})
        if len(finished) < len(state.deployments):
            _restore(work, name, finished)


def stop_endpoint(work: Work, endpoint: str) -> Stopped:
    """End every process of an endpoint and forget it."""
    name = endpoints.read(work, endpoint).endpoint
    with endpoints.change(work, name):
        state = endpoints.read(work, name)
        ended = sum(processes.stop(work, name, each) for each in state.deployments)
        processes.sweep(work, name, set())
        endpoints.remove(work, name)
    Lineage(work.home).mark_deleted([f"endpoint:{name}"])
    return Stopped(
        endpoint=f"endpoint:{name}",
        bentos=[each.bento for each in state.deployments],
        processes=ended,
        undo=reverse.of_stop(state),
    )


def size(text: str) -> int:
    """Bytes of 512Mi, 2G, 1.5 GiB; a bare number is bytes, nothing is 0.

    Raises:
        ToolFailure: no such size, or too small for any service.
    """
    if not text:
        return 0
    match = SIZE.fullmatch(text.strip().lower())
    if match is None:
        raise ToolFailure(f"{text!r} is no amount of memory", "Write e.g. 2Gi or 800Mi.")
    asked = float(match["number"]) * (1 << UNITS[match["unit"]])
    if asked > MOST_BYTES:
        raise ToolFailure(f"{text[:40]} is more memory than any machine has", "Write e.g. 2Gi or 800Mi.")
    count = int(asked)
    if count < REPLICA_MB << 20:
        raise ToolFailure(f"{text} is too little for a service", f"A replica takes about {REPLICA_MB}Mi.")
    return count


def _settle(work: Work, name: str) -> list[Deployment]:
    """The deployments that live; what is left of dead or unfinished ones is ended and forgotten."""
    state = endpoints.read(work, name) if endpoints.exists(work, name) else EndpointFile(endpoint=name)
    alive = [each for each in state.deployments if each.ready and master(each)]
    processes.sweep(work, name, {each.id for each in alive})
    return alive


def _bento(work: Work, text: str) -> tuple[Bento, str]:
    """The bento of that name, or the one of a model, which is packaged on the way; and the model that it is of."""
    if not text.startswith(MODELS):
        bento = find_bento(work, text)
        return bento, bento.spec.model_handle
    packaged = package_model(work, PackageRequest(model=text, name="", version="", batchable=False))
    return find_bento(work, packaged.bento), packaged.model


def _require_room(plan: Plan, running: list[Deployment], percent: int) -> None:
    """Refuse what could not be served before anything is started."""
    if plan.memory and not limits_memory():
        raise ToolFailure("this system does not limit the memory of an endpoint", "Leave resources.memory out.")
    if percent < 100:
        endpoints.share({each.id: each.percent for each in running}, "new", percent)
        if plan.bento.handle in [each.bento for each in running]:
            raise ToolFailure(f"{plan.bento.handle} runs there already", "Use set_traffic to change its share.")
    needed = max((MASTER_MB + REPLICA_MB * plan.replicas) << 20, plan.memory * plan.replicas)
    free = psutil.virtual_memory().available
    if free < needed:
        raise ToolFailure(
            f"{free >> 20} MB of memory are free, and {plan.replicas} replica(s) need {needed >> 20} MB",
            "Stop another endpoint (list_endpoints shows their memory), or ask for less.",
        )


def _started(work: Work, plan: Plan, running: list[Deployment], ports: Iterator[int]) -> Deployment:
    """Start it beside what runs; while it starts, the endpoint's file says so."""

    def note(starting: Deployment) -> None:
        endpoints.write(work, EndpointFile(endpoint=plan.endpoint, deployments=[*running, starting]))

    try:
        return processes.start(work, plan, note, ports)
    except BaseException:
        _restore(work, plan.endpoint, running)
        raise


def _restore(work: Work, name: str, running: list[Deployment]) -> None:
    if running:
        endpoints.write(work, EndpointFile(endpoint=name, deployments=running))
    else:
        endpoints.remove(work, name)


def _switch(
    work: Work, name: str, running: list[Deployment], made: Deployment, percent: int
) -> tuple[dict[str, int], list[str]]:
    """Point the calls at the new deployment; at 100 % the old ones end, after their last answers."""
    every = [*running, made]
    if percent < 100:
        percents = endpoints.share({each.id: each.percent for each in running}, made.id, percent)
        return _write(work, name, every, percents), []
    traffic = _write(work, name, [made], {made.id: 100})
    for each in running:
        processes.stop(work, name, each)
    return traffic, [each.bento for each in running]


def _write(work: Work, name: str, deployments: list[Deployment], percents: dict[str, int]) -> dict[str, int]:
    changed = [each.model_copy(update={"percent": percents[each.id]}) for each in deployments]
    state = EndpointFile(endpoint=name, deployments=changed)
    endpoints.write(work, state)
    return _traffic(state)


def _next(work: Work, state: EndpointFile) -> tuple[Deployment, list[str]]:
    serving = [each for each in state.deployments if each.ready and each.percent]
    alive = [each for each in serving if master(each)]
    if not alive:
        raise _silent(state)
    call = next(work.once(_calls).setdefault(state.endpoint, itertools.count()))
    dead = [each.bento for each in serving if each not in alive]
    return endpoints.pick(alive, call), [f"{each} is dead; its calls go elsewhere" for each in dead]


def _silent(state: EndpointFile) -> ToolFailure:
    """Why nothing of an endpoint can answer, and which call helps."""
    idle = [each.bento for each in state.deployments if each.ready and not each.percent and master(each)]
    if idle:
        instead = f"Give its calls to {idle[0]} with set_traffic, or deploy it again: {_redeploy(state)}"
        return ToolFailure(f"what endpoint:{state.endpoint} sends its calls to is dead", instead)
    if any(master(each) for each in state.deployments):
        return ToolFailure(f"endpoint:{state.endpoint} is still starting", "list_jobs(state='running') shows its job.")
    return ToolFailure(f"endpoint:{state.endpoint} is dead", f"Deploy it again: {_redeploy(state)}")


def _line(work: Work, name: str) -> EndpointLine:
    state = endpoints.read(work, name)
    lines = [_deployment_line(work, name, each) for each in state.deployments]
    found = _state(lines)
    notes = [] if found in ("ready", "starting") else [f"Deploy it again: {_redeploy(state)}"]
    return EndpointLine(
        endpoint=f"endpoint:{name}", state=found, traffic=_traffic(state), deployments=lines, notes=notes
    )


def _deployment_line(work: Work, name: str, deployment: Deployment) -> DeploymentLine:
    alive = master(deployment) is not None
    answers = deployment.ready and alive and is_ready(deployment.port, known_token(work.home, name))
    up: State = "ready" if answers else "starting"
    return DeploymentLine(
        bento=deployment.bento,
        state=up if alive else "dead",
        percent=deployment.percent,
        url=deployment.url,
        replicas=deployment.replicas,
        memory_mb=processes.memory_mb(work, name, deployment),
        memory_limit_mb=deployment.limit_mb,
        started=deployment.started,
    )


def _state(lines: list[DeploymentLine]) -> State:
    serving: set[State] = {line.state for line in lines if line.percent}
    if not serving:
        return "starting" if any(line.state == "starting" for line in lines) else "dead"
    return next(iter(serving)) if len(serving) == 1 else "degraded"


def _deployment_of(state: EndpointFile, bento: str) -> Deployment:
    tag = parse(bento.lower(), "bento").name
    found = [each for each in state.deployments if each.ready and tag in (_tag(each), _tag(each).partition(":")[0])]
    if len(found) != 1:
        raise unknown(f"bento of endpoint:{state.endpoint}", bento, (each.bento for each in state.deployments))
    return found[0]


def _tag(deployment: Deployment) -> str:
    return parse(deployment.bento, "bento").name


def _traffic(state: EndpointFile) -> dict[str, int]:
    return {each.bento: each.percent for each in state.deployments if each.ready}


def _redeploy(state: EndpointFile) -> str:
    bento = max(state.deployments, key=lambda each: each.percent).bento
    return call("deploy_model", bento=bento, endpoint=f"endpoint:{state.endpoint}")


def _connections(_: object) -> Connections:
    return Connections()


def _calls(_: object) -> dict[str, itertools.count[int]]:
    return {}
