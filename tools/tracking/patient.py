"""A store of MLflow that goes away while a job uses it: what was asked is asked again until it is back.

What may have been done, though nobody said so, is looked for before it is done once more.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..errors import Unavailable
from ..runtime.work import Work
from . import embedded

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")
Arguments = Mapping[str, Any]
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0
# The tag by which a run or a model is known again; of those that MLflow, and our tools, do not show.
ONCE = "mlflow.mlops.once"
AWAY = "TEMPORARILY_UNAVAILABLE"
# Of a server that cannot answer now, or of what stands before it.
STATUS = tuple(f"too many {status} error responses" for status in (502, 503, 504))
CREATES = ("create_run", "create_logged_model", "create_model_version", "log_outputs")


def patient(work: Work, client: MlflowClient) -> MlflowClient:
    """The client of a job, each of whose calls outlasts a store that comes back.

    Elsewhere, and over a file, which does not go away, it is the client as it is.
    """
    return cast("MlflowClient", _Patient(work, client)) if work.job and not embedded.path(work.settings) else client


def patiently(work: Work, call: Callable[[], T]) -> T:
    """What a call answers that may be made twice, once what it needs is back; elsewhere than in a job at once or not.

    Whoever has waited in vain once, for `mlflow.patience_s`, does not wait again.
    """
    for wait_s in _waits(work):
        try:
            return call()
        except Exception as error:
            if is_away(error):
                time.sleep(wait_s)
                continue
            raise
    return call()


def _waits(work: Work) -> Iterator[float]:
    """Seconds, until patience or the job's time is used up."""
    if not work.job or patiently in work.cache:
        return
    ends, wait = time.monotonic() + work.settings.mlflow.patience_s, FIRST_WAIT_S
    while time.monotonic() + wait < min(ends, work.ends_at or ends):
        yield wait
        wait = min(2 * wait, LONGEST_WAIT_S)
    work.cache[patiently] = True


def is_away(error: BaseException) -> bool:
    """Whether it is the way to a store that has failed, and not what was asked."""
    if isinstance(error, Unavailable) or getattr(error, "error_code", "") == AWAY:
        return True
    said = str(error)
    causes = (error, error.__cause__, error.__context__)
    return any(isinstance(each, _connections()) for each in causes) or any(status in said for status in STATUS)


def _connections() -> tuple[type[BaseException], ...]:
    """What the libraries that are loaded raise when a connection fails."""
    named = {
        "requests.exceptions": ("ConnectionError", "Timeout"),
        "sqlalchemy.exc": ("OperationalError", "InterfaceError"),
        "botocore.exceptions": ("HTTPClientError", "ConnectionError"),
    }
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

        @wraps(found)
        def asked(*arguments: Any, **named: Any) -> Any:
            return patiently(self._work, lambda: found(*arguments, **named))

        return asked

    def _creating(self, name: str, create: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, which makes nothing a second time."""

        @wraps(create)
        def created(*arguments: Any, **named: Any) -> Any:
            given = signature(create).bind(*arguments, **named).arguments
            if name in ("create_run", "create_logged_model"):
                given["tags"] = {**(given.get("tags") or {}), ONCE: uuid.uuid4().hex}
            tried: list[bool] = []

            def call() -> Any:
                there = found_again(self._client, name, given) if tried else None
                tried.append(True)
                return there or create(**given)

            return patiently(self._work, call)

        return created


def found_again(client: MlflowClient, name: str, given: Arguments) -> Any:
    """What a call has made whose answer was lost; None if it has made nothing."""
    if name == "create_run":
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
        every = client.search_model_versions(f"name='{given['name']}'")
        mine = [version for version in every if version.source == given["source"]]
    else:
        outputs = client.get_run(given["run_id"]).outputs
        kept = {output.model_id for output in outputs.model_outputs} if outputs else set()
        mine = [outputs] if kept >= {model.model_id for model in given["models"]} else []
    return mine[0] if mine else None
