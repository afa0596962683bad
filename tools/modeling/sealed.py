"""Files of this installation: sealed with a key that only it has, and read only while the seal holds.

econml's estimators can be stored as pickles alone, which run whatever their maker wants when they are read; CatBoost's
are bytes that nothing else can look into.
The seal is HMAC-SHA256 (RFC 2104).
"""

from __future__ import annotations

import hmac
import pickle
import secrets
from pathlib import Path
from typing import Any

from ..errors import ToolFailure
from ..storage.state_files import bytes_once

KEY_FILE = "secret.key"
KEY_BYTES = 32
MODEL = "model"


def write(home: Path, path: Path, value: object) -> str:
    """Pickle `value` to `path`; returns its seal."""
    content = pickle.dumps(value, protocol=5)
    path.write_bytes(content)
    return of_bytes(home, content)


def of_file(home: Path, path: Path) -> str:
    """The seal of a file that was just written here."""
    return of_bytes(home, path.read_bytes())


def holds(home: Path, path: Path, seal: str) -> bool:
    """Whether this installation has sealed the file as it is."""
    return bool(seal) and hmac.compare_digest(of_file(home, path), seal)


def read(home: Path, path: Path, seal: str) -> Any:
    """What `write` stored.

    Raises:
        ToolFailure: the file or its seal was not made by this installation.
    """
    content = path.read_bytes()
    if not hmac.compare_digest(of_bytes(home, content), seal):
        raise ToolFailure(
            "the model is a pickle that this installation did not seal, so it is not opened", "Train it here again."
        )
    return pickle.loads(content)


def of_bytes(home: Path, content: bytes, purpose: str = MODEL) -> str:
    """The seal of some bytes; what is sealed for one purpose holds for no other."""
    return hmac.digest(_key(home), f"mlops-mcp {purpose}\0".encode() + content, "sha256").hex()


def has_key(home: Path) -> bool:
    """Whether there is an installation here that could have sealed something."""
    return (home / KEY_FILE).is_file()


def _key(home: Path) -> bytes:
    """The key of this installation, made at its first use.

    Raises:
        ToolFailure: others may read the key, or it was cut short.
    """
    path = home / KEY_FILE
    key = bytes_once(path, secrets.token_bytes(KEY_BYTES))
    if path.stat().st_mode & 0o077 or len(key) != KEY_BYTES:
        raise ToolFailure(
            f"{KEY_FILE} is damaged or readable by others, so no seal can be believed",
            f"If it was only opened up by mistake, chmod 600 {path}; else remove it and train effect models again.",
        )
    return key
