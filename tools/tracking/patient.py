"""A store of MLflow that goes away while it is used: what was asked is asked again until it is back.

A job waits as long as the settings say, a call no longer than its caller bears. What may have been done, though nobody
said so, is looked for before it is done once more.
"""

from __future__ import annotations

import math
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..errors import Refused, Unavailable
from ..runtime.work import Work
from . import embedded

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")
Arguments = Mapping[str, Any]
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0
# The tag by which a run or a model is known again; of those that MLflow, and our tools, do not show.
ONCE = "mlflow.mlops.once"
AWAY, ABSENT = "TEMPORARILY_UNAVAILABLE", "RESOURCE_DOES_NOT_EXIST"
# Of a server that cannot answer now, or of what stands before it.
STATUS = tuple(f"too many {status} error responses" for status in (502, 503, 504))
CREATES = ("create_experiment", "create_run", "create_logged_model", "create_model_version", "log_outputs")
TAGGED = ("create_experiment", "create_run", "create_logged_model")
# What has nothing left to do once it is done, and says then that there is nothing.
ENDS = (
    "delete_experiment", "restore_experiment", "delete_logged_model", "delete_model_version", "delete_registered_model",
)  # fmt: skip


def patient(work: Work, client: MlflowClient) -> MlflowClient:
    """The client, each of whose requests outlasts a store that comes back in time.

    Where nobody waits, and over a file, which does not go away, it is the client as it is.
    """
    waits = work.job or work.bears_until
    return cast("MlflowClient", _Patient(work, client)) if waits and not embedded.path(work.settings) else client


@dataclass
class Heard:
    """What a process knows of one place: whether it was answered, and when it has waited in vain since then."""

    answered: bool = False
    in_vain: float | None = None


def patiently(work: Work, request: Callable[[], T], at: str = "") -> T:
    """What a request answers that may be made twice, once what it needs is back; where nobody waits at once or not.

    A job that has waited in vain does not wait again until it is answered; a call does not for `mlflow.patience_s`.

    Args:
        at: where it goes, if not to MLflow. A call waits there only if that has answered before: what is dead from the
            beginning is told at once.
    """
    heard, waited = _heard_from(work, at), False
    for wait_s in _waits(work, heard, bool(at)):
        try:
            return _answer(request, heard)
        # What the libraries of a store raise has no parent in common, and goes on from here unless it is waited for.
        except Exception as error:
            if is_away(error):
                time.sleep(wait_s)
                waited = True
                continue
            raise
    try:
        return _answer(request, heard)
    except Exception as error:
        if waited and is_away(error):
            heard.in_vain = time.monotonic()
        raise


def _heard_from(work: Work, at: str) -> Heard:
    key = (patiently, "/".join(at.split("/", 3)[:3]))
    return cast(Heard, work.cache.setdefault(key, Heard()))


def _answer(request: Callable[[], T], heard: Heard) -> T:
    answer = request()
    heard.answered, heard.in_vain = True, None
    return answer


def _waits(work: Work, heard: Heard, elsewhere: bool) -> Iterator[float]:
    """Seconds, until the patience, or the time of the job or of the caller, is used up."""
    now, patience_s = time.monotonic(), work.settings.mlflow.patience_s
    if heard.in_vain is not None and (work.job or now - heard.in_vain < patience_s):
        return
    if elsewhere and not (work.job or heard.answered):
        return
    latest = work.ends_at if work.job else work.bears_until or now
    ends, wait = min(now + patience_s, latest or math.inf), FIRST_WAIT_S
    while (left := ends - time.monotonic()) > 0:
        yield min(wait, left)
        wait = min(2 * wait, LONGEST_WAIT_S)


def is_away(error: BaseException) -> bool:
    """Whether it is the way to a store that has failed, and not what was asked."""
    if isinstance(error, Refused):
        return False
    if isinstance(error, Unavailable) or getattr(error, "error_code", "") == AWAY:
        return True
    said = str(error)
    causes = (error, error.__cause__, error.__context__)
    return any(isinstance(each, _connections()) for each in causes) or any(status in said for status in STATUS)


def is_refused(error: BaseException) -> bool:
    """Whether a store of artifacts has answered that it will not: no such bucket, no right to it, no room."""
    return isinstance(error, _named({"botocore.exceptions": ("ClientError",), "boto3.exceptions": ("Boto3Error",)}))


def _connections() -> tuple[type[BaseException], ...]:
    """What the libraries raise when a connection fails."""
    return _named(
        {
            "requests.exceptions": ("ConnectionError", "Timeout"),
            "sqlalchemy.exc": ("OperationalError", "InterfaceError"),
            "botocore.exceptions": ("HTTPClientError", "ConnectionError"),
        }
    )


def _named(named: Mapping[str, tuple[str, ...]]) -> tuple[type[BaseException], ...]:
    """Exceptions by their module, of those libraries that are loaded."""
    return tuple(
        getattr(sys.modules[module], name) for module, names in named.items() if module in sys.modules for name in names
    )


class _Patient:
    def __init__(self, work: Work, client: MlflowClient) -> None:
        self._work, self._client = work, client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name in CREATES:
            return self._creating(name, found)
        if name in ENDS:
            return self._ending(found)

        @wraps(found)
        def asked(*arguments: Any, **named: Any) -> Any:
            return patiently(self._work, lambda: found(*arguments, **named))

        return asked

    def _creating(self, name: str, create: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, which makes nothing a second time."""

        @wraps(create)
        def created(*arguments: Any, **named: Any) -> Any:
            given = signature(create).bind(*arguments, **named).arguments
            if name in TAGGED:
                given["tags"] = {**(given.get("tags") or {}), ONCE: uuid.uuid4().hex}
            tried: list[bool] = []

            def call() -> Any:
                there = found_again(self._client, name, given) if tried else None
                tried.append(True)
                return there or create(**given)

            return patiently(self._work, call)

        return created

    def _ending(self, end: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, to which what is gone at a second try has gone at the first."""
        from mlflow.exceptions import MlflowException

        @wraps(end)
        def ended(*arguments: Any, **named: Any) -> Any:
            tried: list[bool] = []

            def call() -> Any:
                try:
                    return end(*arguments, **named)
                except MlflowException as error:
                    if error.error_code != ABSENT or not tried:
                        raise
                finally:
                    tried.append(True)

            return patiently(self._work, call)

        return ended


def found_again(client: MlflowClient, name: str, given: Arguments) -> Any:
    """What a call has made whose answer was lost; None if it has made nothing."""
    if name == "create_experiment":
        there = client.get_experiment_by_name(given["name"])
        mine: list[Any] = [there.experiment_id] if there and there.tags.get(ONCE) == given["tags"][ONCE] else []
    elif name == "create_run":
        mine = client.search_runs([given["experiment_id"]], f"tags.`{ONCE}` = '{given['tags'][ONCE]}'")
    elif name == "create_logged_model":
        mine = [
            model
            for model in client.search_logged_models(
                [given["experiment_id"]], f"source_run_id = '{given['source_run_id']}'"
            )
            if (model.tags or {}).get(ONCE) == given["tags"][ONCE]
        ]
    elif name == "create_model_version":
        from .connection import versions_of

        same = [version for version in versions_of(client, given["name"]) if version.source == given["source"]]
        mine = sorted(same, key=lambda version: int(version.version), reverse=True)
    else:
        outputs = client.get_run(given["run_id"]).outputs
        kept = {output.model_id for output in outputs.model_outputs} if outputs else set()
        mine = [outputs] if kept >= {model.model_id for model in given["models"]} else []
    return mine[0] if mine else None
