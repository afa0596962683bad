"""The time in an identifier. Opik's cloud refuses rows whose id is more than 24 hours off, with their whole batch."""

from __future__ import annotations

import re

VERSION_7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def is_uuid7(text: str) -> bool:
    return VERSION_7.fullmatch(text) is not None


def seconds_of(identity: str) -> float:
    """When a version 7 UUID was made, in seconds since the epoch."""
    return int(identity[:8] + identity[9:13], 16) / 1000


def dated(identity: str, at: float) -> str:
    """The same version 7 UUID with another time, in seconds since the epoch."""
    digits = f"{int(at * 1000) & (1 << 48) - 1:012x}"
    return f"{digits[:8]}-{digits[8:]}{identity[13:]}"
