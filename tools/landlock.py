"""Landlock (landlock(7)): what a process gives up for good, with all that it starts, before it opens what others made.

By its three system calls: no library for them is kept. Linux 6.2 is the first whose Landlock knows truncating and
renaming between folders; since 6.7 it also holds TCP, since 6.12 signals and abstract Unix sockets.
"""

from __future__ import annotations

import ctypes
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION = 1
FILES_SINCE, TCP_SINCE, SCOPES_SINCE = 3, 4, 6
BENEATH, PORT = 1, 2
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
EVERYTHING = (1 << 15) - 1
READING = EXECUTE | READ_FILE | READ_DIR
# What means something for a file; the kernel refuses a rule with more.
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
BIND, CONNECT = 1 << 0, 1 << 1
ABSTRACT_SOCKETS, SIGNALS = 1 << 0, 1 << 1
PR_SET_NO_NEW_PRIVS = 38
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/etc", "/run", "/proc", "/sys", "/nix", "/gnu")
DEVICES = "/dev"


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _Port(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


@dataclass(frozen=True)
class Reach:
    """What stays: files below folders, to read or also to change; TCP at all, or the ports to listen on."""

    reads: tuple[Path, ...]
    changes: tuple[Path, ...]
    tcp: bool = True
    ports: tuple[int, ...] = ()


def confines() -> bool:
    """Whether the kernel holds a process to its reach."""
    return _version() >= FILES_SINCE


def confines_tcp() -> bool:
    return _version() >= TCP_SINCE


def confines_signals() -> bool:
    return _version() >= SCOPES_SINCE


def confine(reach: Reach) -> None:
    """Give up the rest, in this thread and in all that it will start; where it can, also signals to all others.

    Raises:
        OSError: the kernel refuses, or cannot (`confines`).
    """
    tcp = BIND | CONNECT if confines_tcp() and not reach.tcp else 0
    scopes = confines_signals()
    known = _Ruleset(EVERYTHING, tcp, ABSTRACT_SOCKETS | SIGNALS if scopes else 0)
    # A kernel refuses fields that are younger than itself.
    size = ctypes.sizeof(ctypes.c_uint64) * (3 if scopes else 2 if confines_tcp() else 1)
    ruleset = _call(CREATE_RULESET, ctypes.byref(known), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path in _existing(reach.reads):
            _allow_beneath(ruleset, path, READING)
        for path in _existing(reach.changes):
            _allow_beneath(ruleset, path, EVERYTHING)
        for port in reach.ports if tcp else ():
            _add(ruleset, PORT, _Port(BIND, port))
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise _error()
        _call(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def needed_to_run() -> tuple[Path, ...]:
    """What any Python process reads: the system, the interpreter, what is imported, programs on the path."""
    ours = Path(__file__).resolve().parents[1]
    python = (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *(each for each in sys.path if each))
    paths = (part for name in ("PATH", "LD_LIBRARY_PATH") for part in os.environ.get(name, "").split(os.pathsep))
    return tuple(map(Path, dict.fromkeys((*SYSTEM, str(ours), *python, *filter(None, paths), *_mapped()))))


def _mapped() -> Iterator[str]:
    """Where the libraries lie that are loaded, wherever a system keeps them."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            path = line.rstrip("\n").partition("/")
            if path[1]:
                yield os.path.dirname(f"/{path[2]}")


def _existing(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in dict.fromkeys(paths) if path.exists())


def _allow_beneath(ruleset: int, path: Path, rights: int) -> None:
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _add(ruleset, BENEATH, _Beneath(rights if path.is_dir() else rights & OF_A_FILE, parent))
    finally:
        os.close(parent)


def _add(ruleset: int, kind: int, rule: ctypes.Structure) -> None:
    _call(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(kind), ctypes.byref(rule), ctypes.c_uint32(0))


def _version() -> int:
    if sys.platform != "linux":
        return 0
    try:
        return _call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(ASK_VERSION))
    except OSError:
        return 0


def _call(number: int, *arguments: object) -> int:
    found = int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments))
    if found < 0:
        raise _error()
    return found


def _error() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))
