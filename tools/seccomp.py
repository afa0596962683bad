"""A filter of system calls (seccomp(2)): what a process that runs code of others must not even ask the kernel for.

Landlock holds files and TCP. It does not hold signals (before Linux 6.12), UDP, Unix sockets, the mode of a file that
can be named or read, memory that is a file, or how many processes there are; this does. By prctl(2) and a program of
our own, as in `landlock.py`: the libraries for it need one in C. Numbers are those of the kernel's tables
(syscall_64.tbl, asm-generic/unistd.h).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 1, 38, 22, 2
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
KILL, REFUSE, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
# Of struct seccomp_data.
NUMBER, ARCHITECTURE, FIRST = 0, 4, 16
THREAD = 0x00010000
# x86-64's second table, of which nothing is used.
X32 = 0x40000000

# Not listen(2): what a process was handed it may go on listening on, and there is no other socket to bind.
X86_64 = {
    "socket": 41, "connect": 42, "bind": 49,
    "fork": 57, "vfork": 58, "clone": 56, "kill": 62, "tgkill": 234, "tkill": 200, "rt_sigqueueinfo": 129,
    "rt_tgsigqueueinfo": 297, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "prlimit64": 302,
    "sched_setaffinity": 203, "sched_setscheduler": 144, "sched_setparam": 142, "sched_setattr": 314,
    "setpriority": 141, "ioprio_set": 251, "move_pages": 279, "migrate_pages": 256, "kcmp": 312,
    "unshare": 272, "setns": 308, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
    "keyctl": 250, "add_key": 248, "request_key": 249,
    "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66, "semtimedop": 220, "msgget": 68,
    "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "mq_open": 240, "mq_unlink": 241, "memfd_create": 319, "prctl": 157,
    "mknod": 133, "mknodat": 259, "chmod": 90, "fchmod": 91, "fchmodat": 268, "chown": 92, "fchown": 93, "lchown": 94,
    "fchownat": 260, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198,
    "fremovexattr": 199, "adjtimex": 159, "clock_adjtime": 305, "setdomainname": 171, "iopl": 172, "ioperm": 173,
    "delete_module": 176, "kexec_file_load": 320,
    "utime": 132, "utimes": 235, "utimensat": 280, "futimesat": 261,
    "reboot": 169, "init_module": 175, "finit_module": 313, "kexec_load": 246, "swapon": 167, "swapoff": 168,
    "sethostname": 170, "settimeofday": 164, "clock_settime": 227, "syslog": 103, "acct": 163, "chroot": 161,
    "open_by_handle_at": 304,
}  # fmt: skip
AARCH64 = {
    "socket": 198, "connect": 203, "bind": 200,
    "clone": 220, "kill": 129, "tgkill": 131, "tkill": 130, "rt_sigqueueinfo": 138,
    "rt_tgsigqueueinfo": 240, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "prlimit64": 261,
    "sched_setaffinity": 122, "sched_setscheduler": 119, "sched_setparam": 118, "sched_setattr": 274,
    "setpriority": 140, "ioprio_set": 30, "move_pages": 239, "migrate_pages": 238, "kcmp": 272,
    "unshare": 97, "setns": 268, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
    "keyctl": 219, "add_key": 217, "request_key": 218,
    "shmget": 194, "shmat": 196, "shmctl": 195, "semget": 190, "semctl": 191, "semtimedop": 192, "semop": 193,
    "msgget": 186, "msgctl": 187, "msgrcv": 188, "msgsnd": 189, "mq_open": 180, "mq_unlink": 181,
    "memfd_create": 279, "prctl": 167, "mknodat": 33, "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55,
    "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16,
    "utimensat": 88, "adjtimex": 171, "clock_adjtime": 266, "setdomainname": 162, "delete_module": 106,
    "kexec_file_load": 294,
    "reboot": 142, "init_module": 105, "finit_module": 273, "kexec_load": 104, "swapon": 224, "swapoff": 225,
    "sethostname": 161, "settimeofday": 170, "clock_settime": 112, "syslog": 116, "acct": 89, "chroot": 51,
    "open_by_handle_at": 265,
}  # fmt: skip
# Since these every architecture has the same numbers.
COMMON = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "pidfd_open": 434,
    "clone3": 435, "pidfd_getfd": 438, "process_madvise": 440, "memfd_secret": 447, "process_mrelease": 448,
    "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466,
}  # fmt: skip
# What may be done to this process itself; 0 stands for it too, but for signals, where it is a whole group.
TO_ITSELF = ("kill", "tgkill", "prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam",
             "sched_setattr")  # fmt: skip
SIGNALS = ("kill", "tgkill")


@dataclass(frozen=True)
class Machine:
    """How the kernel names an architecture (linux/audit.h), and its numbers."""

    architecture: int
    numbers: Mapping[str, int]


MACHINES = {"x86_64": Machine(0xC000003E, X86_64 | COMMON), "aarch64": Machine(0xC00000B7, AARCH64 | COMMON)}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def isolates() -> bool:
    """Whether there is a filter for this machine."""
    return sys.platform == "linux" and platform.machine() in MACHINES


def isolate() -> None:
    """Give up sockets, other processes, new ones, and what a file looks like, for good.

    Raises:
        OSError: the kernel refuses.
    """
    code = b"".join(_program(MACHINES[platform.machine()], os.getpid()))
    kept = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(kept, ctypes.c_void_p))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or library.prctl(
        PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(number := ctypes.get_errno(), os.strerror(number))


def _program(machine: Machine, process: int) -> Iterator[bytes]:
    """Each rule ends by itself, so that none has to know how long the others are."""
    yield from (_step(LOAD, ARCHITECTURE), _step(EQUAL, machine.architecture, 1, 0), _step(RETURN, KILL))
    yield _step(LOAD, NUMBER)
    yield from (_step(AT_LEAST, X32, 0, 1), _refused(errno.ENOSYS))
    for name, number in machine.numbers.items():
        yield from _rule(name, number, process)
    yield _step(RETURN, ALLOW)


def _rule(name: str, number: int, process: int) -> Iterator[bytes]:
    if name in TO_ITSELF:
        yield from (_step(EQUAL, number, 0, 5), _step(LOAD, FIRST), _step(EQUAL, process, 2, 0))
        yield from (_step(EQUAL, process if name in SIGNALS else 0, 1, 0), _refused(errno.EPERM), _step(RETURN, ALLOW))
    elif name == "clone":
        yield from (_step(EQUAL, number, 0, 4), _step(LOAD, FIRST), _step(ANY_BIT, THREAD, 1, 0))
        yield from (_refused(errno.EPERM), _step(RETURN, ALLOW))
    elif name == "prctl":
        # Whoever could take this back would outlive the process that looks after it.
        yield from (_step(EQUAL, number, 0, 4), _step(LOAD, FIRST), _step(EQUAL, PR_SET_PDEATHSIG, 0, 1))
        yield from (_refused(errno.EPERM), _step(RETURN, ALLOW))
    else:
        # The C library takes to clone, whose flags can be seen, where there is no clone3.
        yield from (_step(EQUAL, number, 0, 1), _refused(errno.ENOSYS if name == "clone3" else errno.EPERM))


def _refused(number: int) -> bytes:
    return _step(RETURN, REFUSE | number)


def _step(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
    """One struct sock_filter."""
    return struct.pack("=HBBI", code, true, false, value)
