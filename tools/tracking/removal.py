"""How runs and experiments go: MLflow keeps them as deleted, with their files, and brings them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import NotInstalled, ToolFailure, Unavailable, unknown
from ..handles import parse
from ..removal import Found, Gone, Removal, Remover
from ..runtime.work import Work
from .backend import has_no_store
from .checks import PARENT, check_title
from .client import opened_at
from .connection import everything, opened

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

KEPT = "MLflow keeps it as deleted, with its files, until `mlflow gc` is run"
PAGE = 1000


def find_runs(work: Work, text: str) -> Found:
    """A run and those below it. What was logged in them, their models, stays."""
    with opened_at(work, text) as (client, run):
        below = [run, *_children(client, run, deleted=False)]
        if run.info.lifecycle_stage == "deleted":
            below = [run, *_children(client, run, deleted=True)]
            raise Gone(_handles(below), restorable=True)
    return Found(_handles(below), restorable=True, notes=(KEPT,))


def remove_runs(work: Work, found: Found) -> None:
    with opened_at(work, found.handles[0]) as (client, run):
        if run.info.lifecycle_stage == "deleted":
            raise Gone(found.handles, restorable=True)
        # Its own comes last: what is left of a crash can be deleted again.
        for handle in reversed(found.handles):
            client.delete_run(parse(handle, "run").name)


def restore_runs(work: Work, text: str) -> Found:
    """A run and those below it that were deleted."""
    with opened_at(work, text) as (client, run):
        if run.info.lifecycle_stage != "deleted":
            raise ToolFailure(f"run:{run.info.run_id} is not deleted", "There is nothing to restore.")
        _require_experiment(client, run)
        below = [run, *_children(client, run, deleted=True)]
        for each in below:
            client.restore_run(each.info.run_id)
    return Found(_handles(below))


def find_experiment(work: Work, text: str) -> Found:
    """An experiment, by its name or id, with all of its runs."""
    _name(text)
    with opened(work) as client:
        from mlflow.entities import ViewType

        experiment = _experiment(work, client, text)
        deleted = experiment.lifecycle_stage == "deleted"
        which = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
        runs = everything(
            lambda token: client.search_runs([experiment.experiment_id], "", which, PAGE, page_token=token)
        )
    handles = (f"experiment:{experiment.name}", *_handles(runs))
    if deleted:
        raise Gone(handles, restorable=True)
    return Found(handles, restorable=True, notes=(KEPT,))


def remove_experiment(work: Work, found: Found) -> None:
    with opened(work) as client:
        experiment = _experiment(work, client, found.handles[0])
        if experiment.lifecycle_stage == "deleted":
            raise Gone(found.handles, restorable=True)
        client.delete_experiment(experiment.experiment_id)


def restore_experiment(work: Work, text: str) -> Found:
    with opened(work) as client:
        experiment = _experiment(work, client, text)
        if experiment.lifecycle_stage != "deleted":
            raise ToolFailure(f"experiment:{experiment.name} is not deleted", "There is nothing to restore.")
        client.restore_experiment(experiment.experiment_id)
    return find_experiment(work, text)


def deleted_runs(work: Work) -> list[str]:
    """How many runs are deleted: MLflow frees their rows and files by a command of its own alone."""
    if has_no_store(work.settings):
        return []
    try:
        with opened(work) as client:
            from mlflow.entities import ViewType

            known = everything(lambda token: client.search_experiments(ViewType.ALL, PAGE, page_token=token))
            identities = [experiment.experiment_id for experiment in known]
            found = client.search_runs(identities, "", ViewType.DELETED_ONLY, PAGE) if identities else []
    except (NotInstalled, Unavailable) as failure:
        return [f"deleted runs of MLflow are not counted: {failure.message}"]
    count = f"{len(found)} or more" if len(found) == PAGE else f"{len(found)}"
    said = f"{count} deleted runs keep their files in MLflow: delete with restore=true brings one back, and"
    return [f"{said} `mlflow gc`, run beside MLflow, frees them"] if found else []


def _experiment(work: Work, client: MlflowClient, text: str) -> Experiment:
    """Deleted ones included."""
    from mlflow.entities import ViewType

    name = _name(text)
    known = everything(lambda token: client.search_experiments(ViewType.ALL, PAGE, page_token=token))
    for wanted in (name, f"{work.settings.mlflow.experiment_prefix}{name}"):
        for experiment in known:
            if wanted in (experiment.name, experiment.experiment_id):
                return experiment
    raise unknown("experiment", text[:200], (f"experiment:{each.name}" for each in known))


def _name(text: str) -> str:
    name = text.strip().removeprefix("experiment:")
    check_title(name, "an experiment")
    return name


def _children(client: MlflowClient, run: Run, deleted: bool) -> list[Run]:
    from mlflow.entities import ViewType

    which = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    below = f"tags.`{PARENT}` = '{run.info.run_id}'"
    return everything(lambda token: client.search_runs([run.info.experiment_id], below, which, PAGE, page_token=token))


def _require_experiment(client: MlflowClient, run: Run) -> None:
    experiment = client.get_experiment(run.info.experiment_id)
    if experiment.lifecycle_stage == "deleted":
        raise ToolFailure(
            f"the experiment of run:{run.info.run_id} is deleted",
            f"delete(handle={f'experiment:{experiment.name}'!r}, restore=true) brings back all of it.",
        )


def _handles(runs: list[Run]) -> tuple[str, ...]:
    return tuple(f"run:{run.info.run_id}" for run in runs)


REMOVAL = Removal(
    removers={
        "run": Remover(find_runs, remove_runs, restore_runs),
        "experiment": Remover(find_experiment, remove_experiment, restore_experiment),
    },
    remains=deleted_runs,
)
