"""What differs between systems, in one place: Linux has all of it, macOS does without some, Windows is refused.

What Linux alone has               elsewhere
a fork server with the libraries   every worker and every job starts cold (`forks_warm`)
the death signal of a parent       a thread looks whether the parent is still there (`end_with_parent`)
a limit of the address space       none; the memory of a job with a budget is measured (`limit_address_space`)
groups of processes that share     a job gives way by itself alone (`give_way`)
a limit of an endpoint's data      none, and asking for one is refused (`limits_memory`)
the proportional share of memory   the memory that a process has for itself (`own_memory`)
asking for the holder of a lock    taking the lock for a moment (`is_held`)
what a process has written         nothing is counted (`written`)
Landlock                           none: a process may reach what its user can (`landlock.confines`)
the id of a boot                   that of a boot session (`boot`)
the end of a process as a file     it is looked for now and then (`await_end`)
waitid (macOS before Python 3.13)  the state of the process (`child_lives`), and no adopted processes to let go
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil

from .landlock import confines, confines_tcp

PR_SET_PDEATHSIG = 1
# Of /proc/self/stat, counted from what follows the name of the program: proc(5), env_start and env_end.
ENV_START, ENV_END = 47, 48
# struct flock on 64-bit Linux: type, whence, start, length, pid (native alignment)
FLOCK = "@hhqqi"
LOOK_EVERY_S = 1.0
LEAST_URGENT = 19


def _linux() -> bool:
    return sys.platform == "linux"


UNCONFINED = (
    "workers, jobs and endpoints may reach every file and address that the user of the server can, since the kernel "
    "has no Landlock (Linux 6.2 and later): give the server a user or a container of its own"
)
CONNECTING = "workers and jobs may connect to any address, since Landlock holds TCP only from Linux 6.7 on"


def shortcomings() -> list[str]:
    """What this system lacks, in words for whoever installs the server."""
    if _linux():
        return [UNCONFINED] if not confines() else [CONNECTING] if not confines_tcp() else []
    return [
        UNCONFINED,
        "no process has the libraries loaded ahead: the first call of a toolset and every job load them anew",
        "the system limits no memory: call_memory_mb and job_memory_mb do not hold, and an endpoint takes no limit; "
        "budget_mb of a job holds",
        "nothing that is written is counted: caller_disk_mb does not hold",
    ]


def forks_warm() -> bool:
    """Whether processes are forked from one that has the libraries loaded; the frameworks of macOS forbid that."""
    return _linux() and hasattr(os, "pidfd_open")


def environment_block() -> tuple[int, int]:
    """Where the environment lies that the system shows of this process: its first address and the one after it.

    Both are 0 where the system does not say so.
    """
    if not _linux():
        return 0, 0
    facts = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return int(facts[ENV_START]), int(facts[ENV_END])


def end_with_parent() -> None:
    """Let this process be killed when the one (on Linux: the thread) that started it ends."""
    if _linux():
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_follow, args=(os.getppid(),), name="parent", daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGKILL)


def limit_address_space(megabytes: int) -> None:
    """Bound what this process may map, so that an allocation fails here instead of the machine."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits_memory():
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        allowed = megabytes << 20 if hard == resource.RLIM_INFINITY else min(megabytes << 20, hard)
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))


@contextmanager
def files_up_to(size: int) -> Generator[None]:
    """Let no file become larger that this process writes meanwhile: what goes beyond fails with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    allowed = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def give_way(steps: int) -> None:
    """Leave the processor to others as long as they want it.

    Where Linux shares it between sessions first, that of the process gives way as a whole (sched(7), autogroup).
    """
    os.nice(steps)
    with suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as group:
        group.write(str(min(steps, LEAST_URGENT)))


def limits_memory() -> bool:
    """Whether the system holds processes to a limit of their memory."""
    return _linux()


def limit_data(process: psutil.Process, limit: int) -> None:
    """Bound the data of another process, in bytes."""
    if limits_memory():
        process.rlimit(psutil.RLIMIT_DATA, (limit, limit))


def data_of_this() -> int:
    """Bytes of data that this process has mapped, with what it shares."""
    return int(psutil.Process().memory_info().data) if _linux() else 0


def written() -> int:
    """Bytes that this process has written so far, with its children that have ended (proc(5), wchar)."""
    return int(psutil.Process().io_counters().write_chars) if _linux() else 0


def own_memory(process: psutil.Process) -> int:
    """Bytes of a process; what several share counts once over all of them, or not at all. Raises psutil.Error."""
    found = process.memory_full_info()
    return int(getattr(found, "pss", found.uss))


def is_held(descriptor: int) -> bool:
    """Whether another process holds the record lock of an open file."""
    if _linux():
        question = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        return bool(struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, question))[0] != fcntl.F_UNLCK)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    return False


@cache
def boot() -> str:
    """The running kernel: a container shares it, a reboot ends it."""
    if _linux():
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
    asked = ["sysctl", "-n", "kern.bootsessionuuid"]
    return subprocess.run(asked, env={"PATH": path}, check=True, capture_output=True, text=True).stdout.strip()


def child_lives(pid: int) -> bool:
    """Whether a child, which nobody has waited for yet, has not ended."""
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def await_end(pid: int, wait_s: float) -> None:
    """Wait until a child has ended, or so long; of Linux its end is heard, elsewhere it is looked for."""
    if not _linux():
        with suppress(psutil.TimeoutExpired, psutil.NoSuchProcess):
            psutil.Process(pid).wait(wait_s)
        return
    ended = os.pidfd_open(pid)
    try:
        select.select([ended], [], [], wait_s)
    finally:
        os.close(ended)


def any_child_ended() -> bool:
    """Whether some child has ended that nobody has waited for; only in a container of Linux can it be one of others."""
    try:
        return hasattr(os, "waitid") and os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False
