"""Call workers: short library calls in a process of their own, which may be slow, killed or die."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.errors import NotInstalled, ToolFailure
from mlops_mcp.tools.runtime.calls.executor import CallCrashed, CallExecutor
from mlops_mcp.tools.runtime.identity import Identity, acting_as
from mlops_mcp.tools.storage.usage import Usage
from mlops_mcp.tools.tracing.span import Span, Tracer

from ...waiting import eventually

pytestmark = pytest.mark.slow

NOISE = """
import ctypes, os, subprocess, sys, time
from mlops_mcp.tools.errors import ToolFailure

def add(work, a, b):
    with work.tracer.span("adding", a=a):
        return a + b

def pid(work): return os.getpid()
def opened(work): return work.once(lambda_)
def lambda_(settings): return os.urandom(4).hex()
def forever(work, path):
    with open(path, "w") as file: file.write(str(os.getpid()))
    while True: time.sleep(0.05)
def spill(work, path):
    with open(path, "wb") as file: file.write(bytes(4 << 20))
    while True: time.sleep(0.05)
def sum_in_c(work, path):
    with open(path, "w") as file: file.write(str(os.getpid()))
    return sum(range(1 << 60))
def abort(work): os.abort()
def segfault(work): ctypes.string_at(0)
def exit_in_c(work): os._exit(7)
def die(work): os.kill(os.getpid(), 9)
def leave(work): sys.exit(3)
class Panic(BaseException): pass
def panic(work): raise Panic("as libraries in Rust do")
def fail(work): raise ToolFailure("no such column", "Try describe_dataset.")
def crash(work): raise ZeroDivisionError("secret detail")
def need(work): import great_expectationsx
def missing(work): raise ModuleNotFoundError("No module named 'optuna'", name="optuna.trial")
def eat(work): return len(bytearray(1 << 40))
def unpicklable(work): return lambda: 0
def chat(work):
    print("python says hello"); os.write(1, b"fd says hello\\n"); subprocess.run(["echo", "child says hello"])
    return [os.readlink("/proc/self/fd/1") == os.readlink("/proc/self/fd/2"), os.readlink("/proc/self/fd/0")]
def planted(work):
    with open("/proc/self/environ", "rb") as block: return "planted" in str(os.environ) or b"planted" in block.read()
def threads(work): return [os.environ.get(n) for n in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "TQDM_DISABLE")]
"""

Probes = Callable[[str, str], Any]


@pytest.fixture
def spans() -> list[Span]:
    return []


@pytest.fixture
async def pool(settings: Settings, spans: list[Span]) -> AsyncGenerator[CallExecutor]:
    runtime = settings.runtime.model_copy(update={"call_timeout_s": 120.0})
    pool = CallExecutor(settings.model_copy(update={"runtime": runtime}), spans.append)
    yield pool
    await asyncio.to_thread(pool.close)


async def written(mark: Path) -> psutil.Process:
    """The worker that has written its process id there."""
    async with asyncio.timeout(600):
        while not (mark.exists() and mark.read_text()):
            await asyncio.sleep(0.01)
    return psutil.Process(int(mark.read_text()))


async def test_200_parallel_calls_of_two_slices_answer_like_serial_ones(pool: CallExecutor, probes: Probes) -> None:
    left, right = probes("left", NOISE), probes("right", NOISE)
    either = (("left", left.add), ("right", right.add))
    serial = [await pool.call(*either[n % 2], n, n) for n in range(200)]
    parallel = await asyncio.gather(*(pool.call(*either[n % 2], n, n) for n in range(200)))
    assert parallel == serial == [2 * n for n in range(200)]


async def test_200_parallel_calls_of_one_slice_answer_like_serial_ones(pool: CallExecutor, probes: Probes) -> None:
    noise = probes("noise", NOISE)
    serial = [await pool.call("noise", noise.add, n, n) for n in range(200)]
    assert await asyncio.gather(*(pool.call("noise", noise.add, n, n) for n in range(200))) == serial


async def test_a_worker_has_no_secret_of_the_server(
    pool: CallExecutor, probes: Probes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    noise = probes("noise", NOISE)
    assert not await pool.call("noise", noise.planted)


async def test_a_slice_keeps_its_process_and_what_it_opened(pool: CallExecutor, probes: Probes) -> None:
    noise = probes("noise", NOISE)
    pids = {await pool.call("noise", noise.pid) for _ in range(3)}
    assert len(pids) == 1
    assert os.getpid() not in pids
    assert len({await pool.call("noise", noise.opened) for _ in range(3)}) == 1


async def test_slices_have_processes_of_their_own(pool: CallExecutor, probes: Probes) -> None:
    left, right = probes("left", NOISE), probes("right", NOISE)
    assert await pool.call("left", left.pid) != await pool.call("right", right.pid)


async def test_the_registry_shares_the_process_of_tracking(pool: CallExecutor, probes: Probes) -> None:
    tracking, registry = probes("tracking", NOISE), probes("registry", NOISE)
    assert await pool.call("tracking", tracking.pid) == await pool.call("registry", registry.pid)


@pytest.mark.parametrize("function", ["forever", "sum_in_c"])
async def test_cancelling_a_call_kills_its_process_and_the_next_call_works(
    pool: CallExecutor, probes: Probes, tmp_path: Path, function: str
) -> None:
    noise = probes("noise", NOISE)
    call = asyncio.create_task(pool.call("noise", getattr(noise, function), str(tmp_path / "pid")))
    worker = await written(tmp_path / "pid")
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    await asyncio.to_thread(worker.wait, 120)
    assert await pool.call("noise", noise.add, 1, 2) == 3


async def test_a_call_that_takes_too_long_is_ended_and_says_so(
    settings: Settings, probes: Probes, tmp_path: Path
) -> None:
    runtime = settings.runtime.model_copy(update={"call_timeout_s": 3.0})
    pool = CallExecutor(settings.model_copy(update={"runtime": runtime}), lambda _span: None)
    noise = probes("noise", NOISE)
    with pytest.raises(ToolFailure, match=r"noise\.forever did not finish within 3 s\. Ask for less"):
        await pool.call("noise", noise.forever, str(tmp_path / "pid"))
    assert await pool.call("noise", noise.add, 1, 2) == 3
    await asyncio.to_thread(pool.close)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("die", r"noise\.die was killed by SIGKILL\. A new one serves the next call; the usual cause is memory"),
        ("abort", r"noise\.abort was killed by SIGABRT\. A new one serves the next call; the usual cause is memory"),
        ("segfault", r"noise\.segfault was killed by SIGSEGV\. A new one serves the next call; a library crashed"),
        ("exit_in_c", r"noise\.exit_in_c ended with exit code 7\. A new one serves the next call"),
    ],
)
async def test_the_death_of_a_worker_is_an_error_that_names_its_end(
    pool: CallExecutor, probes: Probes, function: str, said: str
) -> None:
    noise, other = probes("noise", NOISE), probes("other", NOISE)
    dying = asyncio.create_task(pool.call("noise", getattr(noise, function)))
    assert await pool.call("other", other.add, 1, 2) == 3
    with pytest.raises(ToolFailure, match=said):
        await dying
    assert await pool.call("noise", noise.add, 1, 2) == 3


async def test_a_worker_that_is_killed_from_outside_fails_only_its_call(
    pool: CallExecutor, probes: Probes, tmp_path: Path
) -> None:
    noise = probes("noise", NOISE)
    dying = asyncio.create_task(pool.call("noise", noise.forever, str(tmp_path / "pid")))
    worker = await written(tmp_path / "pid")
    others = [asyncio.create_task(pool.call("noise", noise.add, n, n)) for n in range(10)]
    worker.kill()
    with pytest.raises(ToolFailure, match=r"noise\.forever was killed by SIGKILL"):
        await dying
    assert await asyncio.gather(*others) == [2 * n for n in range(10)]


async def test_an_idle_worker_that_is_killed_from_outside_is_replaced(pool: CallExecutor, probes: Probes) -> None:
    noise = probes("noise", NOISE)
    worker = psutil.Process(await pool.call("noise", noise.pid))
    worker.kill()
    await asyncio.to_thread(worker.wait, 120)
    async with asyncio.timeout(600):
        while True:  # until its death is noticed, a call may still be given to it
            with suppress(ToolFailure):
                assert await pool.call("noise", noise.pid) != worker.pid
                break


async def test_a_library_that_exits_ends_neither_its_worker_nor_the_server(pool: CallExecutor, probes: Probes) -> None:
    noise = probes("noise", NOISE)
    for function, name in ((noise.leave, "SystemExit"), (noise.panic, "Panic")):
        with pytest.raises(CallCrashed, match=name):
            await pool.call("noise", function)
        assert await pool.call("noise", noise.add, 1, 2) == 3


async def test_a_foreseen_failure_arrives_with_its_hint(pool: CallExecutor, probes: Probes) -> None:
    with pytest.raises(ToolFailure) as caught:
        await pool.call("noise", probes("noise", NOISE).fail)
    assert (caught.value.message, caught.value.hint) == ("no such column", "Try describe_dataset.")


async def test_an_unforeseen_exception_is_a_crash_whose_traceback_is_logged(
    pool: CallExecutor, probes: Probes, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CallCrashed, match="ZeroDivisionError"):
        await pool.call("noise", probes("noise", NOISE).crash)
    assert "secret detail" in caplog.text


async def test_a_missing_library_of_ours_says_what_to_install(pool: CallExecutor, probes: Probes) -> None:
    noise = probes("noise", NOISE)
    with pytest.raises(NotInstalled, match=r"pip install 'mlops-mcp\[tuning\]'"):
        await pool.call("noise", noise.missing)
    with pytest.raises(CallCrashed, match="great_expectationsx"):
        await pool.call("noise", noise.need)


async def test_too_much_memory_is_a_failure_and_not_the_end_of_the_worker(pool: CallExecutor, probes: Probes) -> None:
    noise = probes("noise", NOISE)
    before = await pool.call("noise", noise.pid)
    with pytest.raises(ToolFailure, match="memory limit"):
        await pool.call("noise", noise.eat)
    assert await pool.call("noise", noise.pid) == before


async def test_a_result_that_cannot_travel_is_an_error_and_the_next_call_works(
    pool: CallExecutor, probes: Probes
) -> None:
    noise = probes("noise", NOISE)
    with pytest.raises((CallCrashed, ToolFailure)):
        await pool.call("noise", noise.unpicklable)
    assert await pool.call("noise", noise.add, 1, 2) == 3


async def test_what_a_library_prints_never_reaches_our_standard_output(
    pool: CallExecutor, probes: Probes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert await pool.call("noise", probes("noise", NOISE).chat) == [True, "/dev/null"]
    assert "hello" not in capfd.readouterr().out


async def test_a_worker_runs_quiet_libraries_on_one_thread(pool: CallExecutor, probes: Probes) -> None:
    assert await pool.call("noise", probes("noise", NOISE).threads) == ["1", "passive", "1"]


async def test_spans_of_a_worker_hang_under_the_span_of_the_call(
    pool: CallExecutor, probes: Probes, spans: list[Span]
) -> None:
    with Tracer(spans.append).span("call") as call:
        await pool.call("noise", probes("noise", NOISE).add, 1, 2)
    inner = next(span for span in spans if span.name == "adding")
    assert (inner.trace_id, inner.parent_id, inner.metadata) == (call.trace_id, call.id, {"a": 1})


async def test_closing_ends_a_busy_worker_at_once(settings: Settings, probes: Probes, tmp_path: Path) -> None:
    pool = CallExecutor(settings, lambda _span: None)
    noise = probes("noise", NOISE)
    call = asyncio.create_task(pool.call("noise", noise.forever, str(tmp_path / "pid")))
    worker = await written(tmp_path / "pid")
    await asyncio.to_thread(pool.close)
    assert not worker.is_running()
    call.cancel()
    await asyncio.wait([call])


async def test_what_a_call_has_written_counts_also_if_it_is_cancelled(
    pool: CallExecutor, probes: Probes, settings: Settings, tmp_path: Path
) -> None:
    noise, usage = probes("noise", NOISE), Usage(settings.home)
    with acting_as(Identity("ann", "write")):
        call = asyncio.create_task(pool.call("noise", noise.spill, str(tmp_path / "spilt")))
    async with asyncio.timeout(600):
        await eventually(lambda: usage.within_a_day("ann") >= 4 << 20)
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    assert usage.within_a_day("bob") == 0
