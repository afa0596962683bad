"""Call workers: short library calls in a process of their own, which may be slow, killed or die."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import psutil
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.errors import NotInstalled, ToolFailure
from mlops_mcp.tools.runtime.calls import CallCrashed, CallPool
from mlops_mcp.tools.tracing.span import Span, Tracer

pytestmark = pytest.mark.slow

NOISE = """
import os, subprocess, sys, time
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
def die(work): os.kill(os.getpid(), 9)
def leave(work): sys.exit(3)
def fail(work): raise ToolFailure("no such column", "Try describe_dataset.")
def crash(work): raise ZeroDivisionError("secret detail")
def need(work): import great_expectationsx
def missing(work): raise ModuleNotFoundError("No module named 'optuna'", name="optuna.trial")
def eat(work): return len(bytearray(1 << 40))
def unpicklable(work): return lambda: 0
def chat(work):
    print("python says hello"); os.write(1, b"fd says hello\\n"); subprocess.run(["echo", "child says hello"])
    return [os.readlink("/proc/self/fd/1") == os.readlink("/proc/self/fd/2"), os.readlink("/proc/self/fd/0")]
def threads(work): return [os.environ.get(n) for n in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "TQDM_DISABLE")]
"""

Probes = Callable[[str, str], Any]


@pytest.fixture
def spans() -> list[Span]:
    return []


@pytest.fixture
async def pool(settings: Settings, spans: list[Span]) -> AsyncGenerator[CallPool]:
    runtime = settings.runtime.model_copy(update={"call_timeout_s": 30.0})
    pool = CallPool(settings.model_copy(update={"runtime": runtime}), spans.append)
    yield pool
    await asyncio.to_thread(pool.close)


async def test_200_parallel_calls_of_two_slices_answer_like_serial_ones(pool: CallPool, probes: Probes) -> None:
    left, right = probes("left", NOISE), probes("right", NOISE)
    answers = await asyncio.gather(*(pool.call((left if n % 2 else right).add, n, n) for n in range(200)))
    assert answers == [2 * n for n in range(200)]


async def test_a_slice_keeps_its_process_and_what_it_opened(pool: CallPool, probes: Probes) -> None:
    noise = probes("noise", NOISE)
    pids = {await pool.call(noise.pid) for _ in range(3)}
    assert len(pids) == 1
    assert os.getpid() not in pids
    assert len({await pool.call(noise.opened) for _ in range(3)}) == 1


async def test_slices_have_processes_of_their_own(pool: CallPool, probes: Probes) -> None:
    left, right = probes("left", NOISE), probes("right", NOISE)
    assert await pool.call(left.pid) != await pool.call(right.pid)


async def test_the_registry_shares_the_process_of_tracking(pool: CallPool, probes: Probes) -> None:
    tracking, registry = probes("tracking", NOISE), probes("registry", NOISE)
    assert await pool.call(tracking.pid) == await pool.call(registry.pid)


async def test_cancelling_a_call_kills_its_process_and_the_next_call_works(
    pool: CallPool, probes: Probes, tmp_path: Any
) -> None:
    noise = probes("noise", NOISE)
    mark = tmp_path / "pid"
    call = asyncio.create_task(pool.call(noise.forever, str(mark)))
    async with asyncio.timeout(20):
        while not (mark.exists() and mark.read_text()):
            await asyncio.sleep(0.01)
    worker = psutil.Process(int(mark.read_text()))
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    await asyncio.to_thread(worker.wait, 2)
    assert await pool.call(noise.add, 1, 2) == 3


async def test_a_call_that_takes_too_long_is_ended_and_says_so(
    settings: Settings, probes: Probes, tmp_path: Any
) -> None:
    runtime = settings.runtime.model_copy(update={"call_timeout_s": 0.5})
    pool = CallPool(settings.model_copy(update={"runtime": runtime}), lambda _span: None)
    noise = probes("noise", NOISE)
    with pytest.raises(ToolFailure, match=r"noise\.forever did not finish within 0\.5 s\. Ask for less"):
        await pool.call(noise.forever, str(tmp_path / "pid"))
    assert await pool.call(noise.add, 1, 2) == 3
    await asyncio.to_thread(pool.close)


async def test_the_death_of_a_worker_is_an_error_and_the_next_call_works(pool: CallPool, probes: Probes) -> None:
    noise = probes("noise", NOISE)
    with pytest.raises(ToolFailure, match=r"the process that ran noise\.die was killed by SIGKILL"):
        await pool.call(noise.die)
    assert await pool.call(noise.add, 1, 2) == 3


async def test_a_library_that_exits_ends_neither_its_worker_nor_the_server(pool: CallPool, probes: Probes) -> None:
    noise = probes("noise", NOISE)
    with pytest.raises(CallCrashed, match="SystemExit"):
        await pool.call(noise.leave)
    assert await pool.call(noise.add, 1, 2) == 3


async def test_a_foreseen_failure_arrives_with_its_hint(pool: CallPool, probes: Probes) -> None:
    with pytest.raises(ToolFailure) as caught:
        await pool.call(probes("noise", NOISE).fail)
    assert (caught.value.message, caught.value.hint) == ("no such column", "Try describe_dataset.")


async def test_an_unforeseen_exception_is_a_crash_whose_traceback_is_logged(
    pool: CallPool, probes: Probes, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CallCrashed, match="ZeroDivisionError"):
        await pool.call(probes("noise", NOISE).crash)
    assert "secret detail" in caplog.text


async def test_a_missing_library_of_ours_says_what_to_install(pool: CallPool, probes: Probes) -> None:
    noise = probes("noise", NOISE)
    with pytest.raises(NotInstalled, match=r"pip install 'mlops-mcp\[tuning\]'"):
        await pool.call(noise.missing)
    with pytest.raises(CallCrashed, match="great_expectationsx"):
        await pool.call(noise.need)


async def test_too_much_memory_is_a_failure_and_not_the_end_of_the_worker(pool: CallPool, probes: Probes) -> None:
    noise = probes("noise", NOISE)
    before = await pool.call(noise.pid)
    with pytest.raises(ToolFailure, match="memory limit"):
        await pool.call(noise.eat)
    assert await pool.call(noise.pid) == before


async def test_a_result_that_cannot_travel_is_an_error_and_the_next_call_works(pool: CallPool, probes: Probes) -> None:
    noise = probes("noise", NOISE)
    with pytest.raises((CallCrashed, ToolFailure)):
        await pool.call(noise.unpicklable)
    assert await pool.call(noise.add, 1, 2) == 3


async def test_what_a_library_prints_never_reaches_our_standard_output(
    pool: CallPool, probes: Probes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert await pool.call(probes("noise", NOISE).chat) == [True, "/dev/null"]
    assert "hello" not in capfd.readouterr().out


async def test_a_worker_runs_quiet_libraries_on_one_thread(pool: CallPool, probes: Probes) -> None:
    assert await pool.call(probes("noise", NOISE).threads) == ["1", "passive", "1"]


async def test_spans_of_a_worker_hang_under_the_span_of_the_call(
    pool: CallPool, probes: Probes, spans: list[Span]
) -> None:
    with Tracer(spans.append).span("call") as call:
        await pool.call(probes("noise", NOISE).add, 1, 2)
    inner = next(span for span in spans if span.name == "adding")
    assert (inner.trace_id, inner.parent_id, inner.metadata) == (call.trace_id, call.id, {"a": 1})


async def test_closing_ends_a_busy_worker_at_once(settings: Settings, probes: Probes, tmp_path: Any) -> None:
    pool = CallPool(settings, lambda _span: None)
    noise = probes("noise", NOISE)
    mark = tmp_path / "pid"
    call = asyncio.create_task(pool.call(noise.forever, str(mark)))
    async with asyncio.timeout(20):
        while not (mark.exists() and mark.read_text()):
            await asyncio.sleep(0.01)
    began = time.monotonic()
    await asyncio.to_thread(pool.close)
    assert time.monotonic() - began < 2
    assert not psutil.pid_exists(int(mark.read_text()))
    call.cancel()
    await asyncio.wait([call])
