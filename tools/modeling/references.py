"""From what a caller calls a model to the logged model behind it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import NeedsChoice, ToolFailure, unknown
from ..handles import LOGGED_MODEL, Handle, parse
from ..tracking.backend import translated
from ..tracking.connection import versions_of

if TYPE_CHECKING:
    from mlflow import MlflowClient


# What MLflow answers becomes a part of addresses and of paths, so it is held against the form of an id as well.
LOGGED = re.compile(f"models:/{LOGGED_MODEL}")


def locate(client: MlflowClient, reference: str) -> tuple[str, str]:
    """`models:/m-…` and the handle to show for it.

    Raises:
        ToolFailure: nothing of that name, or a version that MLflow's logged models do not know.
    """
    source, handle = source_of(client, reference)
    if not LOGGED.fullmatch(source):
        raise ToolFailure(
            f"{reference} points to {source[:300]}, which this server did not save",
            f"import_model(model={handle!r}, dataset=…) takes it in.",
        )
    return source, handle


def source_of(client: MlflowClient, reference: str) -> tuple[str, str]:
    """What a model stands for, wherever its files lie, and the handle to show for it."""
    text = reference.strip()
    if text.startswith(("models:/m-", "m-")):
        uri = f"models:/{text.removeprefix('models:/')}"
        _require_logged(client, uri)
        return uri, uri
    if text.startswith("run:"):
        return _only_model_of(client, text)
    return _registered(client, text.replace("models:/", "model:", 1))


def _require_logged(client: MlflowClient, uri: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        if LOGGED.fullmatch(uri):
            client.get_logged_model(uri.removeprefix("models:/"))
            return
    except MlflowException as error:
        raise _unknown(client, uri) from error
    raise _unknown(client, uri)


def _unknown(client: MlflowClient, uri: str) -> ToolFailure:
    experiments = [found.experiment_id for found in client.search_experiments(max_results=100)]
    recent = client.search_logged_models(experiments, max_results=20) if experiments else []
    return unknown("model", uri, (f"models:/{found.model_id}" for found in recent), limit=3)


def _only_model_of(client: MlflowClient, text: str) -> tuple[str, str]:
    with translated():
        run = client.get_run(parse(text, "run").name)
    outputs = [f"models:/{output.model_id}" for output in (run.outputs.model_outputs if run.outputs else [])]
    if len(outputs) != 1:
        hint = f"Pass one of {', '.join(outputs)}." if outputs else "Train one in it."
        raise NeedsChoice(f"{text} holds {len(outputs)} models", hint, text, outputs)
    _require_logged(client, outputs[0])
    return outputs[0], outputs[0]


def _registered(client: MlflowClient, text: str) -> tuple[str, str]:
    from mlflow.exceptions import MlflowException

    name, at, alias = text.partition("@")
    wanted = parse(name, "model")
    with translated():
        versions = versions_of(client, wanted.name)
    if not versions:
        names = (found.name for found in client.search_registered_models(max_results=200))
        raise unknown("model", text, (f"model:{found}" for found in names), "Or pass models:/m-… of train_model.")
    known = {str(found.version): found for found in versions}
    if at:
        try:
            chosen = client.get_model_version_by_alias(wanted.name, alias)
        except MlflowException as error:
            aliases = client.get_registered_model(wanted.name).aliases
            raise unknown(f"alias of model:{wanted.name}", alias, aliases) from error
    elif wanted.version or len(known) == 1:
        chosen = known.get(wanted.version or next(iter(known)))
        if chosen is None:
            raise unknown(f"version of model:{wanted.name}", wanted.version, known)
    else:
        raise ToolFailure(
            f"model:{wanted.name} has {len(known)} versions",
            f"Pass model:{wanted.name}/<version>, e.g. /{max(known, key=int)}.",
        )
    return chosen.source or "", str(Handle("model", wanted.name, str(chosen.version)))
