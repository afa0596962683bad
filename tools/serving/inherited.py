"""What the processes of endpoints inherit: no credential, and no mark of the job that starts them."""

from __future__ import annotations

import os

NAMES = ("PATH", "HOME", "USER", "LANG", "TZ", "VIRTUAL_ENV")
PREFIXES = ("LC_", "LD_", "PYTHON", "CONDA_")


def inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in NAMES or name.startswith(PREFIXES)}
