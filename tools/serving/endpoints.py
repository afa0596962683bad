"""The state of endpoints: one small file each, changed under a lock, and the shares of its bentos."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from ..errors import ToolFailure, unknown
from ..handles import check_name, parse
from ..locks import locked
from ..runtime.work import Work
from ..storage.state_files import replaced
from ..tracing.redaction import redact
from .answerlog import FOLDER as ANSWERS
from .endpoint_tokens import endpoints_folder, forget_token
from .models import Deployment, EndpointFile, Event, Former

LOCK_WAIT_S = 2.0
MAX_EVENTS, LONGEST_EVENT = 20, 600


class Damaged(ToolFailure):
    """The file of an endpoint cannot be read as one, so nobody knows what is deployed there."""


def endpoint_name(text: str) -> str:
    return check_name(parse(text, "endpoint").name, "endpoint")


def names(work: Work) -> list[str]:
    return sorted(file.stem for file in _root(work).glob("*.json"))


def exists(work: Work, name: str) -> bool:
    return _file(work, name).is_file()


def read(work: Work, text: str) -> EndpointFile:
    """What is kept of an endpoint.

    Raises:
        Damaged: its file is.
        ToolFailure: there is none of that name.
    """
    name = parse(text, "endpoint").name
    try:
        # A name of another form could lead out of the folder.
        return EndpointFile.model_validate_json(_file(work, check_name(name, "endpoint")).read_bytes())
    except (FileNotFoundError, ToolFailure):
        known = (f"endpoint:{each}" for each in names(work))
        raise unknown("endpoint", text, known, "deploy_model starts one.") from None
    except ValidationError as error:
        again = "stop_endpoint ends what runs there and forgets it; deploy_model starts it anew."
        raise Damaged(f"the file of endpoint:{name} in the state folder is damaged", again) from error


def write(work: Work, state: EndpointFile) -> None:
    replaced(_file(work, state.endpoint), state.model_dump_json(indent=1).encode())


def keep(work: Work, name: str, deployments: Sequence[Deployment]) -> EndpointFile:
    """Let these be the deployments of an endpoint, which is gone where there are none; all else of it stays."""
    known = read(work, name) if exists(work, name) else EndpointFile(endpoint=name)
    state = known.model_copy(update={"deployments": list(deployments)})
    if deployments:
        write(work, state)
    else:
        remove(work, name)
    return state


def note(work: Work, name: str, *happened: str) -> None:
    """Keep what happened without anybody having asked for it, the newest of it."""
    if happened and exists(work, name):
        state, at = read(work, name), datetime.now(UTC).isoformat(timespec="seconds")
        events = [*state.events, *(Event(at=at, what=redact(each)[:LONGEST_EVENT]) for each in happened)][-MAX_EVENTS:]
        write(work, state.model_copy(update={"events": events}))


def take_over(work: Work, name: str, made: Deployment, replaced_ones: Sequence[Deployment]) -> None:
    """Let one deployment have all calls, and remember the one that served most of them, to go back to."""
    state = read(work, name).model_copy(update={"deployments": [made]})
    if replaced_ones:
        most = max(replaced_ones, key=lambda each: each.percent)
        kept = most.model_dump(include=set(Former.model_fields))
        state = state.model_copy(update={"former": Former.model_validate(kept)})
    write(work, state)


def remove(work: Work, name: str) -> None:
    _file(work, name).unlink(missing_ok=True)
    forget_token(work.home, name)
    shutil.rmtree(_root(work) / name, ignore_errors=True)


def change(work: Work, name: str, wait_s: float = LOCK_WAIT_S) -> AbstractContextManager[None]:
    """The right to change an endpoint, held for as long as a deployment takes."""
    return locked(
        _lock(work, name),
        wait_s,
        f"endpoint:{name} is being changed by another call",
        "list_jobs(state='running') shows a deployment; wait for it or cancel it.",
    )


def folder(work: Work, name: str, identity: str) -> Path:
    """What a deployment writes: its log, its temporary files, its metrics."""
    return _root(work) / name / identity


def identities(work: Work, name: str) -> set[str]:
    """The deployments that have written something, whether they run or not."""
    return {each.name for each in (_root(work) / name).glob("*") if each.is_dir() and each.name != ANSWERS}


def share(percents: Mapping[str, int], chosen: str, percent: int) -> dict[str, int]:
    """Give `chosen` its percentage; the others keep their proportions in what is left, in whole numbers.

    Raises:
        ToolFailure: there is no other to take the rest.
    """
    others = {key: value for key, value in percents.items() if key != chosen}
    left = 100 - percent
    if left and not others:
        raise ToolFailure("nothing else runs there to take the rest of the calls", "Leave percent at 100.")
    weights = others if sum(others.values()) else dict.fromkeys(others, 1)
    total = sum(weights.values()) or 1
    shares = {key: weight * left // total for key, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda key: -(weights[key] * left % total))
    for key in by_remainder[: left - sum(shares.values())]:
        shares[key] += 1
    return {key: percent if key == chosen else shares[key] for key in (*percents, chosen)}


def folders(work: Work) -> list[Path]:
    """What deployments have written, by endpoint; also of endpoints that are gone."""
    return [folder for folder in _root(work).glob("*") if folder.is_dir() and not folder.is_symlink()]


def _root(work: Work) -> Path:
    return endpoints_folder(work.home)


def _file(work: Work, name: str) -> Path:
    return _root(work) / f"{name}.json"


def _lock(work: Work, name: str) -> Path:
    return _root(work) / f"{name}.lock"
