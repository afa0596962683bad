"""What a process gives up before it opens what others made, as the kernel of this machine holds it to that."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.doctor import examine
from mlops_mcp.tools import landlock, platforms
from mlops_mcp.tools.landlock import confines, confines_signals, confines_tcp
from mlops_mcp.tools.runtime.confined import confine_to

pytestmark = pytest.mark.skipif(not confines(), reason="the kernel has no Landlock of Linux 6.2 or later")
with_tcp = pytest.mark.skipif(not confines_tcp(), reason="the kernel's Landlock does not hold TCP")

CONFINED = """
import os, socket, subprocess, sys, threading
from pathlib import Path
from mlops_mcp.tools.landlock import Reach, confine, needed_to_run
folder, port = Path(sys.argv[1]), int(sys.argv[2])
confine(Reach((*needed_to_run(), folder / "read"), (folder / "change",), tcp={tcp}, ports=(port,)))

def tried(action):
    try:
        return action() or "done"
    except OSError as error:
        return type(error).__name__
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("read", "change", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("text")
    (tmp_path / "read/link").symlink_to(tmp_path / "other/file")
    return tmp_path


Confined = Callable[..., list[str]]


@pytest.fixture
def confined(folder: Path) -> Confined:
    def run(*actions: str, tcp: bool = True, port: int = 1) -> list[str]:
        code = CONFINED.format(tcp=tcp) + "".join(f"print(tried(lambda: {action}))\n" for action in actions)
        ran = subprocess.run([sys.executable, "-c", code, str(folder), str(port)], check=False, capture_output=True)
        assert ran.returncode == 0, ran.stderr.decode()
        return ran.stdout.decode().split()

    return run


def test_files_outside_cannot_be_read_or_changed_by_any_way_in(confined: Confined) -> None:
    shut = [
        'open(folder / "other/file").read()', 'open(folder / "read/link").read()', 'os.listdir(folder / "other")',
        'open(folder / "read/../other/file").read()', 'open(folder / "read/file", "w")',
        'os.truncate(folder / "read/file", 0)', 'os.unlink(folder / "read/file")', 'os.mkdir(folder / "read/new")',
        'os.symlink("x", folder / "read/new")',
    ]  # fmt: skip
    assert confined(*shut) == ["PermissionError"] * len(shut)
    started = 'subprocess.run(["cat", folder / "other/file"], capture_output=True).returncode'
    assert confined(started) == ["1"]


def test_a_hard_link_or_a_move_brings_nothing_in(confined: Confined) -> None:
    found = confined(
        'os.link(folder / "other/file", folder / "change/in")',
        'os.rename(folder / "other/file", folder / "change/in")',
        'os.rename(folder / "change/file", folder / "other/out")',
    )  # fmt: skip
    assert "done" not in found


def test_what_stays_in_reach_works_as_before(confined: Confined, folder: Path) -> None:
    (folder / "change/sub").mkdir()
    kept = [
        'open(folder / "read/file").read()', 'open(folder / "change/file", "a").close()',
        'os.rename(folder / "change/file", folder / "change/sub/file")', 'os.mkdir(folder / "change/new")',
        '__import__("sqlite3").connect(folder / "change/a.db").execute("create table a (b)").close()',
        '__import__("decimal") and None', 'subprocess.run(["true"], check=True) and None',
        'threading.Thread(target=print).start()',
    ]  # fmt: skip
    assert confined(*kept) == ["text", *["done"] * 7]


def test_a_thread_and_a_child_that_are_started_later_reach_no_more(confined: Confined) -> None:
    thread = (
        '(found := [], t := threading.Thread(target=lambda: found.append(tried(lambda: open(folder / "other/file")))),'
        " t.start(), t.join())[0][0]"
    )
    assert confined(thread) == ["PermissionError"]


@with_tcp
def test_no_address_is_dialled_and_only_the_port_that_was_named_is_listened_on(confined: Confined) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port, free = server.getsockname()[1], probe.getsockname()[1]
        probe.close()
        dial = f'socket.create_connection(("127.0.0.1", {port})).close()'
        listen = 'socket.create_server(("127.0.0.1", {})).close()'
        found = confined(dial, listen.format(0), listen.format(free), tcp=False, port=free)
        assert found == ["PermissionError", "PermissionError", "done"]
        assert confined(dial, tcp=True) == ["done"]


@pytest.mark.skipif(not confines_signals(), reason="the kernel's Landlock does not hold signals")
def test_no_process_but_its_own_is_signalled_and_no_abstract_socket_is_dialled(confined: Confined) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name := f"\0mlops-test-{os.getpid()}")
        listening.listen()
        found = confined(
            f"os.kill({os.getpid()}, 0)", "os.kill(os.getpid(), 0)",
            "(child := subprocess.Popen(['sleep', '60']), child.kill(), child.wait()) and None",
            f"socket.socket(socket.AF_UNIX).connect({name!r})",
        )  # fmt: skip
        assert found == ["PermissionError", "done", "done", "PermissionError"]


def test_where_the_kernel_cannot_nothing_happens_and_doctor_says_so(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr(landlock, "_version", lambda: 0)
    confine_to(settings, "explain")
    assert Path(__file__).read_text(encoding="utf-8")
    assert platforms.shortcomings() == [platforms.UNCONFINED]
    assert platforms.UNCONFINED in examine(settings).shortcomings
    monkeypatch.setattr(landlock, "_version", lambda: 3)
    assert platforms.shortcomings() == [platforms.CONNECTING]
    monkeypatch.setattr(landlock, "_version", lambda: 4)
    assert platforms.shortcomings() == []
