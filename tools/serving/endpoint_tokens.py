"""The token of an endpoint: who bears it may ask, whichever bento answers; nobody is told it but who asks here.

It lies beside the endpoint's file, for its owner alone. Its services know only its SHA-256, which of 256 random bits
tells nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from ..errors import ToolFailure, unknown
from ..handles import parse
from ..storage.state_files import written_once

BYTES = 32


def endpoints_folder(home: Path) -> Path:
    return home / "endpoints"


def made_token(home: Path, name: str) -> str:
    """The token of an endpoint; made at its first deployment, it stays until the endpoint is stopped."""
    return written_once(_file(home, name), secrets.token_urlsafe(BYTES))


def token_of(home: Path, text: str) -> str:
    """The token of an endpoint, for who looks after it.

    Raises:
        ToolFailure: there is none of that name, or nobody is asked for one there.
    """
    name = parse(text, "endpoint").name
    known = sorted(each.stem for each in endpoints_folder(home).glob("*.json"))
    if name not in known:
        raise unknown("endpoint", text, (f"endpoint:{each}" for each in known), "deploy_model starts one.")
    if found := known_token(home, name):
        return found
    raise ToolFailure(f"endpoint:{name} was started by a version without tokens", "Package and deploy its model again.")


def known_token(home: Path, name: str) -> str:
    """What to send to an endpoint; nothing to one from before there were tokens."""
    file = _file(home, name)
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def forget_token(home: Path, name: str) -> None:
    _file(home, name).unlink(missing_ok=True)


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _file(home: Path, name: str) -> Path:
    return endpoints_folder(home) / f"{name}.token"
