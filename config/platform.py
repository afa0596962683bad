"""Which systems are served; nothing is imported here that one of them lacks."""

from __future__ import annotations

import sys

from .errors import SettingsError


def require_supported() -> None:
    """Raises SettingsError on a system without the processes and locks of POSIX."""
    if sys.platform in ("win32", "cygwin"):
        raise SettingsError(
            "Windows has not the forks and file locks that jobs stand on: run it in WSL, e.g. wsl mlops-mcp serve"
        )
