"""The processes of endpoints: start one and know that it is the one that answers, see what lives, end all of it."""

from __future__ import annotations

import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from ..detached import spawn
from ..errors import ToolFailure
from ..platforms import limit_data
from ..runtime import proctree
from ..runtime.limits import quiet_environment, thread_environment
from ..runtime.work import Work
from ..storage.state_files import private_folder
from .bentos import Bento
from .connection import ask_identity
from .endpoint_tokens import digest_of, known_token, made_token
from .endpoints import folder
from .guard import TOKEN_DIGEST
from .models import Deployment, data_limit

MARK = "MLOPS_ENDPOINT_MARK"
HOME = "MLOPS_ENDPOINT_HOME"
REPLICAS = "MLOPS_ENDPOINT_REPLICAS"
# A service needs none of the credentials that the server may have.
INHERITED = ("PATH", "HOME", "USER", "LANG", "TZ", "VIRTUAL_ENV")
INHERITED_PREFIXES = ("LC_", "LD_", "PYTHON", "CONDA_")
MASTER = f"{__package__}.master"
LOG_FILE = "log.txt"
LOG_TAIL = 700
PORT_TRIES = 3
POLL_S = 0.1
GRACE_S = 15.0
# Circus starts a failing worker again and again; this many traces of it in the log mean that it will not come up.
FATAL = "Application startup failed"


@dataclass(frozen=True)
class Plan:
    """What to start of which model. `memory` limits the data of each process in bytes, 0: not at all."""

    endpoint: str
    bento: Bento
    replicas: int
    threads: int
    memory: int
    model: str = ""


class PortTaken(Exception):
    """Another process was faster to bind the port."""


def free_ports() -> Iterator[int]:
    """Ports that are free when they are asked for."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        yield port


def start(work: Work, plan: Plan, note: Callable[[Deployment], None], ports: Iterator[int]) -> Deployment:
    """Start a bento and wait until it, and no other process, answers on its port.

    Args:
        note: told of the process as soon as there is one, before it is ready.

    Raises:
        ToolFailure: it ended, or did not answer in time; nothing of it is left then.
    """
    for _ in range(PORT_TRIES):
        identity = uuid.uuid4().hex[:12]
        try:
            deployment = _spawn(work, plan, identity, next(ports))
            note(deployment)
            _wait_ready(work, plan, deployment)
        except PortTaken:
            _clear(work, plan.endpoint, identity)
        except BaseException:
            _clear(work, plan.endpoint, identity)
            raise
        else:
            return deployment.model_copy(update={"ready": True})
    raise ToolFailure(f"no free port in {PORT_TRIES} tries", "Try again.")


def master(deployment: Deployment) -> psutil.Process | None:
    """The process that was started, if it lives and is not another one with its number."""
    try:
        process = psutil.Process(deployment.pid)
        same = abs(process.create_time() - deployment.created) < 1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def memory_mb(work: Work, endpoint: str, deployment: Deployment) -> int:
    """Resident memory of all its processes; pages they share count in each."""
    total = 0
    for process in _found(work, endpoint).get(deployment.id, []):
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total >> 20


def stop(work: Work, endpoint: str, deployment: Deployment) -> int:
    """Let it finish what it is doing, then end whatever is left; how many processes there were.

    Raises:
        ToolFailure: something survived.
    """
    processes = _found(work, endpoint).get(deployment.id, [])
    if process := master(deployment):
        process.terminate()
        _wait_ended(deployment)
    _clear(work, endpoint, deployment.id)
    return len(processes)


def _wait_ended(deployment: Deployment) -> None:
    """Not by waiting for the process itself: where nobody reaps it, it would stay for ever."""
    deadline = time.monotonic() + GRACE_S
    while master(deployment) and time.monotonic() < deadline:
        time.sleep(POLL_S / 2)


def sweep(work: Work, endpoint: str, keep: set[str]) -> int:
    """End every deployment of the endpoint but the named ones: orphans of a dead master or of a cancelled job."""
    strays = [identity for identity in _found(work, endpoint) if identity not in keep]
    for identity in strays:
        _clear(work, endpoint, identity)
    return len(strays)


def log_tail(work: Work, endpoint: str, identity: str) -> str:
    path = folder(work, endpoint, identity) / LOG_FILE
    return path.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:].strip() if path.is_file() else ""


def mark_of(endpoint: str, identity: str) -> str:
    return f"{endpoint}.{identity}"


def _spawn(work: Work, plan: Plan, identity: str, port: int) -> Deployment:
    place = folder(work, plan.endpoint, identity)
    private_folder(place)
    (place / "tmp").mkdir(mode=0o700)
    # A BentoML home of its own: every `serve` wipes the metrics folder of its home.
    for store in ("bentos", "models"):
        (place / store).symlink_to(work.settings.bentoml_home.absolute() / store)
    pid = spawn(
        MASTER,
        *(str(place.absolute()), plan.bento.tag, "--host", "127.0.0.1", "--port", str(port)),
        environment=_environment(work, plan, identity, place),
        log=place / LOG_FILE,
    )
    process = psutil.Process(pid)
    limit = data_limit(work.settings, plan.memory)
    if limit:
        limit_data(process, limit)
    return Deployment(
        id=identity,
        bento=plan.bento.handle,
        model=plan.model or plan.bento.spec.model_handle,
        threads=plan.threads,
        memory=plan.memory,
        limit=limit,
        pid=pid,
        created=process.create_time(),
        port=port,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        replicas=plan.replicas,
    )


def _environment(work: Work, plan: Plan, identity: str, place: Path) -> Mapping[str, str]:
    """Without the mark of the job that starts it, whose end it must survive."""
    inherited = {
        name: value for name, value in os.environ.items() if name in INHERITED or name.startswith(INHERITED_PREFIXES)
    }
    return {
        **inherited,
        **quiet_environment(),
        **thread_environment(plan.threads),
        "PYTHONSAFEPATH": "1",
        "E2I_ENVIRONMENT": work.settings.endpoint_environment,
        "BENTOML_HOME": str(place.absolute()),
        "TMPDIR": str((place / "tmp").absolute()),
        REPLICAS: str(plan.replicas),
        HOME: _home(work),
        MARK: mark_of(plan.endpoint, identity),
        TOKEN_DIGEST: digest_of(made_token(work.home, plan.endpoint)),
    }


def _wait_ready(work: Work, plan: Plan, deployment: Deployment) -> None:
    wait_s = work.settings.bentoml.ready_timeout_s
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        tail = log_tail(work, plan.endpoint, deployment.id)
        if master(deployment) is None:
            if "Address already in use" in tail:
                raise PortTaken
            raise _failed(plan, "ended while it started", tail)
        if FATAL in tail:
            raise _failed(plan, "cannot load its model", tail)
        if _answers(work, plan, deployment):
            return
        time.sleep(POLL_S)
    raise _failed(
        plan,
        f"did not answer within {wait_s:g} s (setting bentoml.ready_timeout_s)",
        log_tail(work, plan.endpoint, deployment.id),
    )


def _answers(work: Work, plan: Plan, deployment: Deployment) -> bool:
    """Whether it is up. Nobody but our own process, if it has the port, is told the token."""
    if not listens(deployment):
        return False
    found = ask_identity(deployment.port, known_token(work.home, plan.endpoint))
    ours = mark_of(plan.endpoint, deployment.id)
    return found is not None and found.mark == ours and found.bento == plan.bento.tag


def listens(deployment: Deployment) -> bool:
    """Whether the process that was started has the port; another one may have been faster."""
    try:
        found = psutil.Process(deployment.pid).net_connections("tcp4")
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == deployment.port for each in found)


def _failed(plan: Plan, what: str, tail: str) -> ToolFailure:
    return ToolFailure(f"{plan.bento.handle} {what}", f"Its log ends with: {tail or '(nothing)'}")


def _clear(work: Work, endpoint: str, identity: str) -> None:
    if not proctree.kill(mark_of(endpoint, identity), MARK, wait_s=5.0):
        raise ToolFailure(f"a process of endpoint:{endpoint} does not end", "Look for it with ps, then call again.")
    shutil.rmtree(folder(work, endpoint, identity), ignore_errors=True)


def _found(work: Work, endpoint: str) -> dict[str, list[psutil.Process]]:
    """The live processes of an endpoint by deployment; other state folders may have one of the same name."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            environment = process.environ()
        except psutil.Error:
            continue
        name, _, identity = environment.get(MARK, "").partition(".")
        if name == endpoint and environment.get(HOME) == _home(work):
            found.setdefault(identity, []).append(process)
    return found


def _home(work: Work) -> str:
    return str(work.home.resolve())
