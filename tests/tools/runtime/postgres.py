"""A PostgreSQL server of its own for tests, from the binaries that are installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

# Debian keeps the programs of each version away from PATH.
DEBIAN = Path("/usr/lib/postgresql")
NOBODY = "nobody"


def search_path() -> str:
    """Where the programs of PostgreSQL may lie, the newest version first."""
    versions = sorted(DEBIAN.glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    return os.pathsep.join([*map(str, versions), os.environ["PATH"]])


@contextmanager
def running(folder: Path, find: Callable[[str], str]) -> Generator[str]:
    """The address of a server that listens on a socket in `folder` only, as long as the body runs."""
    user = _user(folder)
    find("initdb")
    _run(user, _program("initdb"), "-D", folder / "data", "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync")
    start(folder)
    try:
        yield f"postgresql://tester@/postgres?host={folder}"
    finally:
        stop(folder, "immediate")


def start(folder: Path) -> None:
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=200"
    _control(folder, "-o", options, "-l", folder / "log", "-w", "start")


def stop(folder: Path, how: str = "fast") -> None:
    """End the server of a folder, and with it every connection."""
    _control(folder, "-m", how, "-w", "stop")


def _control(folder: Path, *options: object) -> None:
    _run(_user(folder), _program("pg_ctl"), "-D", folder / "data", *options)


def _program(name: str) -> Path:
    found = shutil.which(name, path=search_path())
    assert found
    return Path(found)


def _user(folder: Path) -> str | None:
    """PostgreSQL refuses to run as root: whoever it runs as has to reach and own the folder."""
    if os.geteuid() != 0:
        return None
    account = pwd.getpwnam(NOBODY)
    shutil.chown(folder, account.pw_uid, account.pw_gid)
    return NOBODY


def _run(user: str | None, *command: object) -> None:
    done = subprocess.run(
        [str(part) for part in command], user=user, cwd="/", env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command[0]}: {done.stderr}"
