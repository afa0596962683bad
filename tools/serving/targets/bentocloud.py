"""BentoCloud, with the key of the settings: deploy there what was exported, look at it, and end it.

Through `bentoml.deployment`. What is sent are the bentos, their models and the configuration of the export; the key
goes into a header of each request, to the address of the settings alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from ....config.backends import CloudSettings
from ...errors import ToolFailure, Unavailable, require
from ...runtime.work import Work
from ...tracing.redaction import redact
from .change import FOREIGN, Change, Seen
from .cloud import Configuration

CONFIGURATION = "bentocloud.yaml"
DEFAULT_ADDRESS = "https://cloud.bentoml.com"
# Which export a deployment there is of.
OF_EXPORT = "mlops-mcp-export"
HERE = ("127.0.0.1", "localhost", "::1")
TIMEOUT_S = 60
REFUSED = (401, 403)


def apply(work: Work, folder: Path, export: str) -> Change:
    """Push the bentos of an export, and make its deployment or change it to that.

    Raises:
        ToolFailure: there is no key, a deployment of that name is not of ours, or it is refused.
        Unavailable: BentoCloud does not answer.
    """
    wanted = _wanted(folder)
    with _client(work) as cloud:
        found = _found(cloud, wanted["name"])
        owner = _owner(found)
        if owner == FOREIGN:
            raise ToolFailure(
                f"the deployment {wanted['name']} of BentoCloud was not made by this server, so it stays as it is",
                "Export under another name.",
            )
        for bento in _bentos(wanted):
            cloud.bento.push(_stored(bento))
        cluster = {"cluster": found.cluster.name} if found else {}
        labels = [{"key": OF_EXPORT, "value": export}]
        made = _deployments().apply(config_dict={**wanted, **cluster, "labels": labels}, _cloud_client=cloud)
        seen = _seen(work, made._schema)  # pyright: ignore
    return Change([_title(wanted)], [], [] if owner is None else [owner], new=owner is None, seen=seen)


def withdraw(work: Work, folder: Path, export: str) -> Change:
    """End the deployment of an export, unless another export has it by now. Raises as `apply` does."""
    wanted = _wanted(folder)
    with _client(work) as cloud:
        found = _found(cloud, wanted["name"])
        if found is None:
            return Change([], [], [], new=False, seen=_seen(work, None))
        if _owner(found) != export:
            return Change([], [_title(wanted)], [], new=False, seen=_seen(work, found))
        gone = _deployments().terminate(wanted["name"], cluster=found.cluster.name, _cloud_client=cloud)
        return Change([_title(wanted)], [], [], new=False, seen=_seen(work, gone._schema))  # pyright: ignore


def look(work: Work, folder: Path, export: str) -> Change:
    """What is there of an export: its deployment, or one of the same name that is not of it. Raises as `apply` does."""
    wanted = _wanted(folder)
    with _client(work) as cloud:
        found = _found(cloud, wanted["name"])
    ours = [_title(wanted)] if _owner(found) == export else []
    return Change(ours, [_title(wanted)] if found and not ours else [], [], new=False, seen=_seen(work, found))


def address(settings: CloudSettings) -> str:
    return settings.endpoint or DEFAULT_ADDRESS


def _wanted(folder: Path) -> Configuration:
    found: Configuration = yaml.safe_load((folder / CONFIGURATION).read_bytes())
    return found


def _bentos(wanted: Any) -> list[str]:
    """Its own and those of its canaries, which `bentoml.deployment.apply` does not push."""
    canaries = (wanted.get("canary") or {}).get("versions") or {}
    return [wanted["bento"], *(each["bento"] for each in canaries.values())]


def _title(wanted: Configuration) -> str:
    return f"deployment/{wanted['name']}"


def _deployments() -> Any:
    import bentoml

    return bentoml.deployment


def _stored(bento: str) -> Any:
    import bentoml

    return bentoml.get(bento)


def _found(cloud: Any, name: object) -> Any:
    from bentoml.exceptions import NotFound

    try:
        return cloud.client.v2.get_deployment(name)
    except NotFound:
        return None


def _owner(found: Any) -> str | None:
    """The export that a deployment is of, FOREIGN if none of ours has made it; None where there is none."""
    if found is None:
        return None
    return next((str(each.value) for each in found.labels if each.key == OF_EXPORT), FOREIGN)


def _seen(work: Work, found: Any) -> Seen:
    context = urlsplit(address(work.settings.bentocloud)).netloc
    if found is None:
        return Seen(context, "", "absent", [])
    return Seen(context, str(found.cluster.name), str(found.status), [str(each) for each in found.urls])


@contextmanager
def _client(work: Work) -> Generator[Any]:
    """A client with the key, whose refusals are ours."""
    settings = work.settings.bentocloud
    key, endpoint = settings.api_key.get_secret_value(), address(settings)
    if not key:
        raise ToolFailure(
            "no account of BentoCloud is configured",
            "Set bentocloud.api_key (BENTO_CLOUD_API_KEY), or run the commands that export_deployment told.",
        )
    if urlsplit(endpoint).scheme != "https" and urlsplit(endpoint).hostname not in HERE:
        raise ToolFailure(f"{endpoint} would be sent the key in the open", "Set bentocloud.endpoint to https://….")
    require("bentoml")
    import bentoml

    # Whether a bento is a path is decided by what lies in the working directory.
    with _stores(work), contextlib.chdir(work.settings.bentoml_home), _told(endpoint, key):
        yield bentoml.BentoCloudClient(api_key=key, endpoint=endpoint, timeout=TIMEOUT_S)


@contextmanager
def _stores(work: Work) -> Generator[None]:
    from bentoml._internal.configuration.containers import BentoMLContainer

    home = str(work.settings.bentoml_home.absolute())
    held: Any = BentoMLContainer
    named = {
        held.bentoml_home: home,
        held.bento_store_dir: f"{home}/bentos",
        held.model_store_dir: f"{home}/models",
        held.tmp_bento_store_dir: f"{home}/tmp",
    }
    for each, path in named.items():
        Path(path).mkdir(parents=True, exist_ok=True)
        each.set(path)
    try:
        yield
    finally:
        for each in (*named, held.bento_store, held.model_store):
            each.reset()


@contextmanager
def _told(endpoint: str, key: str) -> Generator[None]:
    from bentoml.exceptions import BentoMLException, CloudRESTApiClientError
    from cattrs import BaseValidationError
    from httpx import HTTPError

    again = "Call again once that is mended; withdraw=True ends what is there."
    try:
        yield
    except CloudRESTApiClientError as error:
        if error.error_code in REFUSED:
            raise ToolFailure("BentoCloud does not accept the key", "Set bentocloud.api_key to a valid one.") from error
        raise ToolFailure(f"BentoCloud refuses: {_clean(error, key)}", again) from error
    except BentoMLException as error:
        raise ToolFailure(f"BentoML could not do it: {_clean(error, key)}", again) from error
    except HTTPError as error:
        hint = f"It is asked at {endpoint} (bentocloud.endpoint). Call again: what is there stays."
        raise Unavailable(f"BentoCloud does not answer: {_clean(error, key)}", hint) from error
    except (BaseValidationError, ValueError, KeyError, TypeError) as error:
        raise ToolFailure(f"what answers at {endpoint} is not BentoCloud as this version knows it", again) from error


def _clean(error: Exception, key: str) -> str:
    return redact(str(error).replace(key, "…"))[:400]
