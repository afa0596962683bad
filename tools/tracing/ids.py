"""Time-ordered identifiers (UUID version 7, RFC 9562 §5.7), and the time that is in them.

Opik's cloud refuses rows whose id is more than 24 hours off, with their whole batch.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid

IDENTIFIER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def uuid7() -> str:
    """A version 7 UUID (RFC 9562 §5.7): Opik refuses any other version for traces and spans."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & (1 << 48) - 1) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def as_uuid7(digits: str) -> str:
    """The same id for the same 32 hexadecimal digits, e.g. of a W3C trace, in the only form Opik takes."""
    formed = f"{digits[:12]}7{digits[13:16]}8{digits[17:]}"
    return f"{formed[:8]}-{formed[8:12]}-{formed[12:16]}-{formed[16:20]}-{formed[20:]}"


def like(digits: str, name: str) -> str:
    """The same id for the same name each time, as old as the first 12 hexadecimal digits say."""
    return as_uuid7(digits[:12] + hashlib.sha256(f"{digits} {name}".encode()).hexdigest()[:20])


def trace_of(name: str) -> str:
    """The id that stands for a name of somebody's own; a version 7 UUID stands for itself."""
    if IDENTIFIER.fullmatch(name.lower()):
        return name.lower()
    return as_uuid7(hashlib.sha256(name.encode()).hexdigest()[:32])


def is_uuid7(text: str) -> bool:
    return IDENTIFIER.fullmatch(text) is not None


def seconds_of(identity: str) -> float:
    """When a version 7 UUID, with its dashes or without, was made: seconds since the epoch."""
    return int(identity.replace("-", "")[:12], 16) / 1000


def dated(identity: str, at: float) -> str:
    """The same version 7 UUID with another time, in seconds since the epoch."""
    digits = f"{int(at * 1000) & (1 << 48) - 1:012x}"
    return f"{digits[:8]}-{digits[8:]}{identity[13:]}"
