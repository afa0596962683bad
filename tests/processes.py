"""What processes show that may end while they are looked at."""

from __future__ import annotations

from collections.abc import Mapping

import psutil


def words_of(process: psutil.Process) -> str:
    """Its command line; empty once it has ended, also while nobody has waited for it."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def variables_of(process: psutil.Process) -> Mapping[str, str]:
    """Its environment as the system shows it; none once it has ended."""
    try:
        return process.environ()
    except psutil.Error:
        return {}
