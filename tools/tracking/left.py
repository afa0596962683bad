"""Runs that should have ended while MLflow was away: noted below home, and ended as soon as it is used again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.work import Work
from ..storage.state_files import private_folder, replaced
from .checks import PARENT
from .models import RunStatus

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Of the runs below one that ends; nobody will go on with them.
ABANDONED: RunStatus = "KILLED"
AWAY = ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "REQUEST_LIMIT_EXCEEDED")


def note(work: Work, run: str, status: RunStatus) -> None:
    """Args:
    run: its id.
    """
    replaced(private_folder(_folder(work)) / run, status.encode())


def waiting(work: Work) -> list[Path]:
    """The notes there are, which is none as a rule: this costs a look for a folder."""
    with suppress(FileNotFoundError):
        return [path for path in _folder(work).iterdir() if not path.name.startswith(".")]
    return []


def end(client: MlflowClient, run: str, status: str) -> None:
    """End a run and those below it that are open.

    Args:
        run: its id.
    """
    found = client.get_run(run).info
    below = f"tags.`{PARENT}` = '{run}' and attributes.status = 'RUNNING'"
    for child in client.search_runs([found.experiment_id], below):
        client.set_terminated(child.info.run_id, ABANDONED)
    if found.status == "RUNNING":
        client.set_terminated(run, status)


def end_waiting(work: Work, client: MlflowClient) -> None:
    """End what the notes name, and forget the notes, also of runs that are gone."""
    from mlflow.exceptions import MlflowException

    for path in waiting(work):
        try:
            end(client, path.name, path.read_text(encoding="utf-8"))
        except FileNotFoundError:  # another process was faster
            continue
        except MlflowException as error:
            if error.error_code in AWAY:
                return
        path.unlink(missing_ok=True)


def _folder(work: Work) -> Path:
    return work.home / "open_runs"
