"""Which settings of a working folder count: those that were approved, as they were then.

A folder may come from anybody, and its `mlops.yaml` says where state lies, which files may be read and where traces go.
What was approved stands outside of it, in the user's configuration folder: path -> SHA-256 of the file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from .errors import SettingsError


def approved(path: Path, content: bytes) -> bool:
    """Whether this very content of this file was approved."""
    return _kept().get(_name(path)) == digest(content)


def approve(path: Path, sha256: str) -> Path:
    """Let a file count in the folder it lies in, as long as its content has this digest; the place it is kept in."""
    return _keep({**_kept(), _name(path): sha256})


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _name(path: Path) -> str:
    """The file's own link is not followed: it would bring what was approved for another folder."""
    return str(path.absolute().parent.resolve() / path.name)


def _place() -> Path:
    from platformdirs import user_config_path

    return user_config_path("mlops-mcp", appauthor=False) / "trusted.json"


def _kept() -> Mapping[str, str]:
    try:
        found = json.loads(_place().read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read {_place()}: {error}; delete it and approve anew") from None
    return found if isinstance(found, dict) else {}


def _keep(names: Mapping[str, str]) -> Path:
    place = _place()
    draft = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(draft, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            json.dump(names, file, indent=1, sort_keys=True)
        draft.replace(place)
    except OSError as error:
        raise SettingsError(f"cannot write {place}: {error.strerror}") from error
    return place
