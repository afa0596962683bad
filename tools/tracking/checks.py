"""What MLflow would refuse in words of its own, keep under another name, or cut off: said before it is asked."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from ..errors import ToolFailure

# What MLflow would cut off in silence.
MAX_PARAM, MAX_TAG = 6000, 8000
# Of a run or of the version of a model: the name of the token with which it was made.
OWNER, USER = "mlops.owner", "mlflow.user"
MAX_KEY, MAX_TITLE, MAX_PART = 250, 500, 255
KEY = re.compile(r"[\w./: -]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
SHOWN = 100
# What of MLflow's own tags a caller may say; the others, such as who a run is of, say what is so.
OWN = "mlflow."
PARENT = "mlflow.parentRunId"
OPEN = (PARENT, "mlflow.note.content", "mlflow.runName", "mlflow.source.")


def owned(name: str, *tags: str) -> dict[str, str]:
    """The tags that say who has made something; none where everything is one owner's."""
    return dict.fromkeys(tags, name) if name else {}


def check_tags(tags: Mapping[str, str]) -> None:
    """Refuse what MLflow cannot keep, and what only the server says."""
    _check_keys("tag", tags)
    check_claims(tags)
    for key, value in tags.items():
        if len(value) > MAX_TAG:
            raise ToolFailure(
                f"tag {key} has {len(value)} characters, and MLflow keeps {MAX_TAG}", "Log it as an artifact."
            )


def check_claims(tags: Iterable[str]) -> None:
    """Refuse the tags by which a caller would say who has made something, or what only MLflow knows."""
    if OWNER in tags:
        raise ToolFailure(f"tag {OWNER} says who has made this, and is set by the server", "Leave it out.")
    for key in tags:
        if key.startswith(OWN) and not key.startswith(OPEN):
            raise ToolFailure(f"tag {key} is set by MLflow and this server alone", f"Leave {OWN!r} out of its name.")


def check_values(params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
    _check_keys("param", params)
    _check_keys("metric", metrics)
    for key, value in metrics.items():
        if not math.isfinite(value):
            raise ToolFailure(f"metric {key} is {value}, which MLflow would store as another number", "Leave it out.")
    for key, param in params.items():
        if len(param) > MAX_PARAM:
            raise ToolFailure(
                f"param {key} has {len(param)} characters, and MLflow keeps {MAX_PARAM}", "Log it as an artifact."
            )


def check_unchanged(params: Mapping[str, str], logged: Mapping[str, str], run: str) -> None:
    """A param that a run has keeps its value."""
    for key in params.keys() & logged.keys():
        if params[key] != logged[key]:
            raise ToolFailure(
                f"param {key} of {run} is {logged[key][:SHOWN]!r} already and cannot become {params[key][:SHOWN]!r}",
                "Log it under another name, as a tag, or into a new run of start_run.",
            )


def check_title(text: str, kind: str) -> None:
    """The name of an experiment or of a run; nothing for an empty one, which MLflow makes up."""
    if CONTROL.search(text) or len(text) > MAX_TITLE or text.strip() in (".", ".."):
        raise ToolFailure(
            f"{text[:SHOWN]!r} cannot name {kind}", f"Use up to {MAX_TITLE} characters on one line, and no bare dots."
        )


def inside_run(path: str) -> str:
    """A path among the artifacts of a run in its plain form; empty for the top.

    Raises:
        ToolFailure: it is absolute, leads out of the run, or no file can be called so.
    """
    text = path.strip()
    if text.startswith(("/", "~/")) or ".." in unquote(text).replace("\\", "/").split("/"):
        raise ToolFailure(f"{text[:SHOWN]!r} leaves the run", "Pass a path inside of it, as list_artifacts shows them.")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if CONTROL.search(text) or any(len(part.encode(errors="replace")) > MAX_PART for part in parts):
        raise ToolFailure(
            f"{text[:SHOWN]!r} cannot name a file", f"Use up to {MAX_PART} bytes between slashes, on one line."
        )
    return "/".join(parts)


def _check_keys(kind: str, keys: Iterable[str]) -> None:
    """Raises ToolFailure for what MLflow cannot keep under its name, with the nearest that it can."""
    for key in keys:
        plain = bool(KEY.fullmatch(key)) and len(key) <= MAX_KEY
        if not plain or posixpath.normpath(key) != key or key.startswith(("/", "..")) or key == ".":
            near = "/".join(filter(None, re.sub(r"[^\w. :/-]", "_", key.strip()).replace("..", "_").split("/")))
            raise ToolFailure(
                f"{key[:SHOWN]!r} cannot name a {kind}",
                f"Use letters, digits, _, -, ., :, blanks, and / between parts, up to {MAX_KEY} characters: e.g. "
                f"{near[:MAX_KEY][:SHOWN] or kind!r}.",
            )
