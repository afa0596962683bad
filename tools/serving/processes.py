"""The processes of endpoints: start one and know that it is the one that answers, see what lives, end all of it."""

from __future__ import annotations

import shutil
import socket
import sys
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from ..data.answers import keep_answers
from ..detached import spawn
from ..errors import ToolFailure
from ..platforms import limit_data, own_memory
from ..runtime import proctree
from ..runtime.limits import worker_environment
from ..runtime.template.fork import Start, fork_elsewhere
from ..runtime.work import Work
from ..storage.state_files import private_folder
from .bentos import Bento
from .connection import ask_identity
from .endpoint_tokens import digest_of, known_token, made_token
from .endpoints import folder, identities
from .guard import TOKEN_DIGEST
from .inherited import inherited
from .marks import HOME, MARK, Running, found, home_of, lives, mark_of
from .master import REPLICAS
from .models import Deployment, data_limit
from .proxy import handle
from .proxy.places import HOST

MASTER = f"{__package__}.master"
LOG_FILE = "log.txt"
LOG_TAIL = 700
PORT_TRIES = 3
POLL_S = 0.1
GRACE_S = 15.0
# The master starts a failing worker again and again; this many traces of it in the log mean that it will not come up.
FATAL = "Application startup failed"


@dataclass(frozen=True)
class Plan:
    """What to start of which model. `memory` limits the data of each process in bytes, 0: not at all; `log_sample` of
    what it answers is logged, 0 to 1.
    """

    endpoint: str
    bento: Bento
    replicas: int
    threads: int
    memory: int
    model: str = ""
    log_sample: float = 0


class PortTaken(Exception):
    """Another process was faster to bind the port."""


def free_ports() -> Iterator[int]:
    """Ports that are free when they are asked for."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
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


def master(work: Work, endpoint: str, deployment: Deployment) -> psutil.Process | None:
    """The process that was started, if it lives."""
    alive = lives(deployment.pid, endpoint, deployment.id, work.home)
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(deployment.pid) if alive else None
    return None


def running(work: Work) -> Running:
    """All live processes of endpoints; to find them every process of the machine is looked at."""
    return found(work.home)


def memory_mb(endpoint: str, deployment: Deployment, running: Running) -> int:
    """What all its processes take of the memory; what they share, also with others, counts once over all (PSS)."""
    total = 0
    for process in running.get((endpoint, deployment.id), []):
        try:
            total += own_memory(process)
        except psutil.Error:
            continue
    return total >> 20


def count(work: Work, endpoint: str) -> int:
    """How many processes an endpoint has."""
    return sum(map(len, _found(work, endpoint).values()))


def stop(work: Work, endpoint: str, deployment: Deployment) -> int:
    """Let it finish what it is doing, then end whatever is left; how many processes there were.

    Raises:
        ToolFailure: something survived.
    """
    processes = _found(work, endpoint).get(deployment.id, [])
    if process := master(work, endpoint, deployment):
        with suppress(psutil.NoSuchProcess):
            process.terminate()
        _wait_ended(work, endpoint, deployment)
    _clear(work, endpoint, deployment.id)
    return len(processes)


def _wait_ended(work: Work, endpoint: str, deployment: Deployment) -> None:
    """Not by waiting for the process itself: where nobody reaps it, it would stay for ever."""
    deadline = time.monotonic() + GRACE_S
    while master(work, endpoint, deployment) and time.monotonic() < deadline:
        time.sleep(POLL_S / 2)


def sweep(work: Work, endpoint: str, keep: Collection[str]) -> list[str]:
    """End every deployment of the endpoint but the named ones: orphans of a dead master or of a cancelled job.

    One that was replaced when whoever did so died may be answering still, and comes to the end of that.

    Returns:
        Who was ended, in words.
    """
    strays = {name: processes for name, processes in _found(work, endpoint).items() if name not in keep}
    for identity in strays:
        handle.drained(work, identity)
    # Of one that was killed before it had a process there is a folder.
    for identity in strays.keys() | (identities(work, endpoint) - set(keep)):
        _clear(work, endpoint, identity)
    return [
        f"ended process {', '.join(str(each.pid) for each in processes)}: deployment {identity} is not one of "
        f"endpoint:{endpoint} (any more)"
        for identity, processes in strays.items()
    ]


def log_tail(work: Work, endpoint: str, identity: str) -> str:
    path = folder(work, endpoint, identity) / LOG_FILE
    return path.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:].strip() if path.is_file() else ""


def _spawn(work: Work, plan: Plan, identity: str, port: int) -> Deployment:
    place = folder(work, plan.endpoint, identity)
    private_folder(place)
    (place / "tmp").mkdir(mode=0o700)
    keep_answers(work, plan.endpoint, plan.log_sample)
    # A BentoML home of its own: every `serve` wipes the metrics folder of its home.
    for store in ("bentos", "models"):
        (place / store).symlink_to(work.settings.bentoml_home.absolute() / store)
    limit = data_limit(work.settings, plan.memory)
    pid = _run(
        (str(place.absolute()), plan.bento.tag, "--host", HOST, "--port", str(port)),
        _environment(work, plan, identity, place),
        place / LOG_FILE,
        limit,
    )
    return Deployment(
        id=identity,
        bento=plan.bento.handle,
        model=plan.model or plan.bento.spec.model_handle,
        threads=plan.threads,
        memory=plan.memory,
        limit=limit,
        pid=pid,
        port=port,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        replicas=plan.replicas,
        log_sample=plan.log_sample,
    )


def _run(arguments: Sequence[str], environment: Mapping[str, str], log: Path, limit: int) -> int:
    """The process id of a master: forked from where the libraries are loaded, or started anew."""
    path = [each for each in sys.path if each]
    if pid := fork_elsewhere(Start(MASTER, arguments, environment, (MARK, HOME), log, path, limit)):
        return pid
    pid = spawn(MASTER, *arguments, environment=environment, log=log)
    if limit:
        limit_data(psutil.Process(pid), limit)
    return pid


def _environment(work: Work, plan: Plan, identity: str, place: Path) -> Mapping[str, str]:
    return {
        **inherited(),
        **worker_environment(plan.threads),
        "PYTHONSAFEPATH": "1",
        "E2I_ENVIRONMENT": work.settings.endpoint_environment,
        "BENTOML_HOME": str(place.absolute()),
        "TMPDIR": str((place / "tmp").absolute()),
        REPLICAS: str(plan.replicas),
        HOME: home_of(work.home),
        MARK: mark_of(plan.endpoint, identity),
        TOKEN_DIGEST: digest_of(made_token(work.home, plan.endpoint)),
    }


def _wait_ready(work: Work, plan: Plan, deployment: Deployment) -> None:
    wait_s = work.settings.bentoml.ready_timeout_s
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        ended = master(work, plan.endpoint, deployment) is None
        # Not before: what it says last it says while it is looked for.
        tail = log_tail(work, plan.endpoint, deployment.id)
        if ended:
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
    said = ask_identity(deployment.port, known_token(work.home, plan.endpoint))
    ours = mark_of(plan.endpoint, deployment.id)
    return said is not None and said.mark == ours and said.bento == plan.bento.tag


def listens(deployment: Deployment) -> bool:
    """Whether the process that was started has the port; another one may have been faster."""
    try:
        open_there = psutil.Process(deployment.pid).net_connections("tcp4")
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == deployment.port for each in open_there)


def _failed(plan: Plan, what: str, tail: str) -> ToolFailure:
    return ToolFailure(f"{plan.bento.handle} {what}", f"Its log ends with: {tail or '(nothing)'}")


def _clear(work: Work, endpoint: str, identity: str) -> None:
    if not proctree.kill(mark_of(endpoint, identity), MARK, wait_s=5.0):
        raise ToolFailure(f"a process of endpoint:{endpoint} does not end", "Look for it with ps, then call again.")
    shutil.rmtree(folder(work, endpoint, identity), ignore_errors=True)


def _found(work: Work, endpoint: str) -> dict[str, list[psutil.Process]]:
    """The live processes of an endpoint by deployment; other state folders may have one of the same name."""
    return {identity: processes for (name, identity), processes in found(work.home).items() if name == endpoint}
