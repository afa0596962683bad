"""Package models and run them as endpoints (BentoML)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

from ..errors import ToolFailure, unknown
from ..features.models import OnlineFeatures
from ..handles import parse
from ..lineage import Lineage
from ..locks import Busy
from ..paging import OwnPage, Page, page
from ..replica.alone import of_this_server
from ..runtime.work import Work
from ..undo import call, deletes
from . import endpoints, processes, reverse
from .bentos import Bento, find_bento, make_bento, require_bentoml, require_whole
from .building import forget_unfinished_build
from .connection import Connections, Front, ServiceFailed, Unreachable, ask_predictions
from .deploying import RESTART_S, deployed, settle, without_newest, write_shares
from .endpoint_tokens import known_token
from .joined import joined
from .listing import line_of, logs_of, redeploy, view_of
from .listing import traffic as traffic_of
from .models import (
    Deployed,
    Deployment,
    DeployRequest,
    EndpointFile,
    EndpointLine,
    EndpointLogs,
    EndpointView,
    Packaged,
    PackageRequest,
    Prediction,
    Resources,
    RollbackRequest,
    Row,
    ServiceAnswer,
    Stopped,
    Traffic,
)
from .planning import size
from .processes import Plan, free_ports, master
from .proxy import handle

MODELS = ("model:", "models:/", "run:", "m-")
# More numbers than these are left out of an answer.
MAX_PROBABILITIES = 400
# What the proxy says of a connection to a service that broke: a prediction changes nothing, so it is asked again.
BROKEN_OFF = 502


def package_model(work: Work, request: PackageRequest) -> Packaged:
    """Build a bento of a model: its file, a service around it, pinned packages."""
    work.afterwards(forget_unfinished_build)
    return _packaged(work, request)


def _packaged(work: Work, request: PackageRequest) -> Packaged:
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
    bento, model = bento_of(work, request.bento)
    require_whole(work, bento)
    threads, memory = max(1, int(request.resources.cpu)), size(request.resources.memory)
    plan = Plan(name, bento, request.replicas, threads, memory, model, request.log_sample)
    made = deployed(work, request, plan, ports)
    Lineage(work.home).record(f"endpoint:{name}", [bento.handle], "deploy_model")
    return made


def set_traffic(work: Work, endpoint: str, bento: str, percent: int) -> Traffic:
    """Give one bento of an endpoint its percentage of the calls; the others share the rest as before."""
    name = endpoints.read(work, endpoint).endpoint
    with endpoints.change(work, name):
        state = endpoints.read(work, name)
        chosen = _deployment_of(state, bento)
        if percent and master(work, name, chosen) is None:
            instead = f"It is started again: get_endpoint(endpoint={f'endpoint:{name}'!r}) shows when, and why not."
            raise ToolFailure(f"{chosen.bento} is dead", instead)
        before = {each.id: each.percent for each in state.deployments}
        percents = endpoints.share(before, chosen.id, percent)
        # Who answers is no shadow any more.
        kept = [each.model_copy(update={"shadow": each.shadow and not percents[each.id]}) for each in state.deployments]
        write_shares(work, name, kept, percents)
    state = endpoints.read(work, name)
    idle = [each.bento for each in state.deployments if not each.percent]
    notes = [f"{each} keeps running without calls; deploy_model replaces it, stop_endpoint ends it" for each in idle]
    undo = reverse.of_traffic(name, before, percents, {each.id: each.bento for each in state.deployments})
    return Traffic(endpoint=f"endpoint:{name}", traffic=traffic_of(state), notes=notes, undo=undo)


def predict(work: Work, endpoint: str, rows: list[Row], known: OnlineFeatures | None = None) -> Prediction:
    """Ask the bento whose turn it is; if that one is dead, another one of the endpoint.

    Args:
        known: what the online store holds of the keys in the rows.
    """
    state = endpoints.read(work, endpoint)
    notes, wanted = _dead(work, state), ""
    if known:
        # Each bento is sent what its own model takes.
        wanted = _whose_turn(work, state)
        serving = _that_answered(work, state, wanted)
        rows, found = joined(rows, known, find_bento(work, serving.bento).spec.features)
        notes += found
    began = time.perf_counter()
    answer, chosen = _answered(work, state, rows, wanted)
    notes += answer.notes
    fits = len(rows) * len(answer.classes) <= MAX_PROBABILITIES
    if not fits:
        most = max(1, MAX_PROBABILITIES // len(answer.classes))
        notes.append(f"probabilities left out: {len(answer.classes)} for each row; send at most {most} rows for them")
    return Prediction(
        endpoint=f"endpoint:{state.endpoint}",
        bento=chosen.bento,
        model=chosen.model or None,
        predictions=answer.predictions,
        probabilities=answer.probabilities if fits else None,
        classes=answer.classes,
        ms=round((time.perf_counter() - began) * 1000, 2),
        notes=notes,
    )


def list_endpoints(work: Work, limit: int, cursor: str) -> OwnPage[EndpointLine]:
    """What runs, as seen from its processes."""
    chosen = page(endpoints.names(work), limit, cursor)
    running = processes.running(work)
    lines = [line_of(work, name, running) for name in chosen.items if endpoints.exists(work, name)]
    return of_this_server(work.settings, Page(items=lines, total=chosen.total, next_cursor=chosen.next_cursor))


def forget_unfinished(work: Work, endpoint: str) -> None:
    """End what a deployment that did not come to its end has started; another one that is under way does so itself."""
    name = endpoints.endpoint_name(endpoint)
    forget_unfinished_build(work)
    with suppress(Busy), endpoints.change(work, name, wait_s=0):
        if endpoints.exists(work, name):
            settle(work, name)
        else:  # it was stopped meanwhile, or killed before its first deployment stood in a file
            processes.sweep(work, name, ())
            endpoints.remove(work, name)


def get_endpoint(work: Work, endpoint: str) -> EndpointView:
    """Its versions with what the proxy has counted of each."""
    return view_of(work, endpoint)


def get_endpoint_logs(work: Work, endpoint: str) -> EndpointLogs:
    return logs_of(work, endpoint)


def rollback_endpoint(work: Work, request: RollbackRequest) -> Deployed:
    """End the newest bento; those that it shares with get its calls, or what it replaced is deployed again."""
    name = endpoints.read(work, request.endpoint).endpoint
    work.afterwards(forget_unfinished, name)
    with endpoints.change(work, name, RESTART_S):
        running = settle(work, name)
        if len(running) > 1:
            return without_newest(work, name, running)
        former = endpoints.read(work, name).former
    if former is None:
        raise ToolFailure(f"endpoint:{name} has served nothing before", "deploy_model puts another bento there.")
    resources = Resources(cpu=former.threads, memory=str(former.memory or ""))
    again = DeployRequest(
        bento=former.bento, endpoint=name, replicas=former.replicas, resources=resources, percent=100,
        log_sample=former.log_sample,
    )  # fmt: skip
    return deploy(work, again, free_ports())


def stop_endpoint(work: Work, endpoint: str) -> Stopped:
    """End every process of an endpoint and forget it, also one whose file is damaged."""
    name = _to_stop(work, endpoint).endpoint
    with endpoints.change(work, name, RESTART_S):
        state = _to_stop(work, name)
        ended = processes.count(work, name)
        for each in state.deployments:
            processes.stop(work, name, each)
        processes.sweep(work, name, set())
        endpoints.remove(work, name)
        handle.reread(work)
    Lineage(work.home).mark_deleted([f"endpoint:{name}"])
    return Stopped(
        endpoint=f"endpoint:{name}",
        bentos=[each.bento for each in state.deployments],
        processes=ended,
        undo=reverse.of_stop(state),
    )


def _to_stop(work: Work, text: str) -> EndpointFile:
    try:
        return endpoints.read(work, text)
    except endpoints.Damaged:
        return EndpointFile(endpoint=endpoints.endpoint_name(text))


def bento_of(work: Work, text: str) -> tuple[Bento, str]:
    """The bento of that name, or the one of a model, which is packaged on the way; and the model that it is of."""
    if not text.startswith(MODELS):
        bento = find_bento(work, text)
        return bento, bento.spec.model_handle
    packaged = _packaged(work, PackageRequest(model=text, name="", version="", batchable=False))
    return find_bento(work, packaged.bento), packaged.model


def _whose_turn(work: Work, state: EndpointFile) -> str:
    """The deployment that is to answer; empty if there is no choice."""
    if sum(each.finished and each.percent > 0 for each in state.deployments) < 2:
        return ""
    handle.ensure(work)
    return handle.turn(work, state.endpoint)


def _answered(work: Work, state: EndpointFile, rows: list[Row], wanted: str) -> tuple[ServiceAnswer, Deployment]:
    """The answer of an endpoint, and which of its deployments gave it.

    Args:
        wanted: the one that is to give it, if it can; empty: the one whose turn it is.

    Raises:
        ToolFailure: the rows are refused, or nothing can answer.
    """
    name = state.endpoint
    try:
        with work.tracer.span("ask service", endpoint=name, rows=len(rows)):
            answer, deployment = _asked(work, name, rows, wanted)
    except Unreachable as error:
        raise _silent(work, state) from error
    except ServiceFailed as error:
        said = processes.log_tail(work, name, error.deployment) or "(nothing)"
        bento = _that_answered(work, state, error.deployment).bento
        raise ToolFailure(f"{bento} failed: HTTP {error.status}", f"Its log ends with: {said}") from error
    return answer, _that_answered(work, state, deployment)


def _asked(work: Work, name: str, rows: list[Row], wanted: str) -> tuple[ServiceAnswer, str]:
    """The answer of the proxy, which is started if nobody listens there; once more if a service broke off."""
    connections, token = work.once(_connections), known_token(work.home, name)
    if not handle.runs(work):
        handle.ensure(work)
    try:
        return ask_predictions(connections, Front(name, handle.port_of(work)), token, rows, wanted)
    except ServiceFailed as error:
        if error.status != BROKEN_OFF:
            raise
    return ask_predictions(connections, Front(name, handle.port_of(work)), token, rows, wanted)


def _dead(work: Work, state: EndpointFile) -> list[str]:
    """Which bentos are dead; what is left of them, or another one, answers meanwhile."""
    serving = [each for each in state.deployments if each.ready and each.percent]
    dead = [each.bento for each in serving if master(work, state.endpoint, each) is None]
    return [f"the process of {each} is dead; it is started again" for each in dead]


def _that_answered(work: Work, state: EndpointFile, deployment: str) -> Deployment:
    """What was deployed between the look into the file and the answer is in the file by now."""
    for each in (*state.deployments, *endpoints.read(work, state.endpoint).deployments):
        if each.id == deployment:
            return each
    return max(state.deployments, key=lambda each: each.percent)


def _silent(work: Work, state: EndpointFile) -> ToolFailure:
    """Why nothing of an endpoint can answer, and which call helps."""
    name = state.endpoint
    alive = [each for each in state.deployments if master(work, name, each)]
    idle = [each.bento for each in alive if each.ready and not each.percent]
    if idle:
        instead = f"Give its calls to {idle[0]} with set_traffic, or deploy it again: {redeploy(state)}"
        return ToolFailure(f"what endpoint:{name} sends its calls to is dead", instead)
    if alive:
        return ToolFailure(f"endpoint:{name} is still starting", "list_jobs(state='running') shows its job.")
    again = "It is started again, so ask again in some seconds; if it stays dead, deploy it again"
    return ToolFailure(f"endpoint:{name} is dead", f"{again}: {redeploy(state)}")


def _deployment_of(state: EndpointFile, bento: str) -> Deployment:
    tag = parse(bento.lower(), "bento").name
    found = [each for each in state.deployments if each.ready and tag in (_tag(each), _tag(each).partition(":")[0])]
    if len(found) != 1:
        raise unknown(f"bento of endpoint:{state.endpoint}", bento, (each.bento for each in state.deployments))
    return found[0]


def _tag(deployment: Deployment) -> str:
    return parse(deployment.bento, "bento").name


def _connections(_: object) -> Connections:
    return Connections()
