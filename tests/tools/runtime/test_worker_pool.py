"""The line in front of a slice's workers: how many there are, who waits, who is replaced."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.calls.executor import CallExecutor
from mlops_mcp.tools.runtime.calls.pool import STARTS, Worker, WorkerPool
from mlops_mcp.tools.runtime.identity import in_lane
from mlops_mcp.tools.runtime.template.handle import Template

from ...conftest import warmed

pytestmark = pytest.mark.slow

SLOW = """
import os, time
from pathlib import Path
from mlops_mcp.tools.runtime.limits import memory_mb

def add(work, a, b): return a + b
def pid(work): return os.getpid()
def size(work): return memory_mb()[1]
def grow(work, megabytes):
    work.cache["kept"] = b"x" * (megabytes << 20)
    return os.getpid()
def hold(work, path):
    Path(path).with_suffix(".began").touch()
    while not os.path.exists(path): time.sleep(0.01)
    return os.getpid()
"""

Probes = Callable[[str, str], Any]
Pools = Callable[..., Any]


@pytest.fixture
def pools(settings: Settings) -> Pools:
    @asynccontextmanager
    async def opened(**changed: Any) -> AsyncGenerator[CallExecutor]:
        runtime = settings.runtime.model_copy(update=changed)
        pool = CallExecutor(settings.model_copy(update={"runtime": runtime}), lambda _span: None)
        try:
            yield pool
        finally:
            await asyncio.to_thread(pool.close)

    return opened


async def held(pool: CallExecutor, slow: Any, path: Path) -> asyncio.Task[int]:
    """A call that has begun and lasts until `path` exists."""
    call = asyncio.create_task(pool.call("slow", slow.hold, str(path)))
    async with asyncio.timeout(600):
        while not (call.done() or path.with_suffix(".began").exists()):
            await asyncio.sleep(0.01)
    assert not call.done(), call.exception()
    return call


async def test_a_slow_call_does_not_hold_up_its_slice(pools: Pools, probes: Probes, tmp_path: Path) -> None:
    slow = probes("slow", SLOW)
    async with pools() as pool, asyncio.timeout(600):
        call = await held(pool, slow, tmp_path / "end")
        others = {await pool.call("slow", slow.pid) for _ in range(5)}
        (tmp_path / "end").touch()
        assert len({*others, await call}) == 2


@pytest.mark.parametrize("failures", [2, 3])
async def test_a_worker_that_cannot_be_started_is_started_again_but_only_so_often(
    pools: Pools, probes: Probes, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    slow, failing, look = probes("slow", SLOW), iter(range(failures)), vars(Worker)["alive"].fget

    def alive(worker: Worker) -> bool:
        if next(failing, None) is not None:
            raise BrokenProcessPool from EOFError()
        return bool(look(worker))

    monkeypatch.setattr(Worker, "alive", property(alive))
    async with pools() as pool, asyncio.timeout(600):
        if failures == STARTS:
            with pytest.raises(ToolFailure, match="no worker can be started: EOFError"):
                await pool.call("slow", slow.add, 1, 2)
        assert await pool.call("slow", slow.add, 1, 2) == 3


async def test_calls_that_wait_briefly_start_no_second_worker(
    pools: Pools, probes: Probes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{WorkerPool.__module__}.GROW_AFTER_S", 600)  # what is brief depends on the machine
    slow = probes("slow", SLOW)
    async with pools() as pool:
        first = await pool.call("slow", slow.pid)
        assert set(await asyncio.gather(*(pool.call("slow", slow.pid) for _ in range(50)))) == {first}


async def test_a_full_line_is_an_error_that_says_when_to_come_back(
    pools: Pools, probes: Probes, tmp_path: Path
) -> None:
    slow = probes("slow", SLOW)
    async with pools(call_workers=1, call_queue=2) as pool:
        call = await held(pool, slow, tmp_path / "end")
        waiting = [asyncio.create_task(pool.call("slow", slow.add, n, n)) for n in range(2)]
        await asyncio.sleep(0)
        full = r"^slow: 2 calls of this caller wait \(runtime\.call_queue\)\. Repeat it in about \d+ s\.$"
        with pytest.raises(ToolFailure, match=full):
            await pool.call("slow", slow.add, 5, 5)
        (tmp_path / "end").touch()
        await call
        assert await asyncio.gather(*waiting) == [0, 2]
        assert await pool.call("slow", slow.add, 5, 5) == 10


async def test_when_to_come_back_follows_from_how_long_calls_take(pools: Pools, probes: Probes, tmp_path: Path) -> None:
    slow = probes("slow", SLOW)
    async with pools(call_workers=1, call_queue=4) as pool:
        call = await held(pool, slow, tmp_path / "end")
        waiting = [asyncio.create_task(pool.call("slow", slow.add, n, n)) for n in range(4)]
        await asyncio.sleep(0)
        seconds = 0
        async with asyncio.timeout(600):
            while seconds < 5:  # four wait for one that has taken more than a second by then
                with pytest.raises(ToolFailure) as caught:
                    await pool.call("slow", slow.add, 5, 5)
                seconds = int(caught.value.hint.split()[-2])
                await asyncio.sleep(0.05)
        (tmp_path / "end").touch()
        await asyncio.gather(call, *waiting)


async def test_a_call_that_is_cancelled_in_the_line_leaves_it(pools: Pools, probes: Probes, tmp_path: Path) -> None:
    slow = probes("slow", SLOW)
    async with pools(call_workers=1, call_queue=2) as pool:
        call = await held(pool, slow, tmp_path / "end")
        waiting = [asyncio.create_task(pool.call("slow", slow.add, n, n)) for n in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        third = asyncio.create_task(pool.call("slow", slow.add, 5, 5))
        (tmp_path / "end").touch()
        await call
        assert (await waiting[1], await third) == (2, 10)


async def calling(pool: CallExecutor, lane: str, function: Any, *arguments: Any) -> Any:
    """A call of one caller."""
    with in_lane(lane):
        return await pool.call("slow", function, *arguments)


async def test_while_one_caller_holds_all_workers_another_is_served_and_no_call_of_either_is_ended(
    pools: Pools, probes: Probes, tmp_path: Path
) -> None:
    slow, ends = probes("slow", SLOW), [tmp_path / str(number) for number in range(8)]
    async with pools(call_workers=2, guest_workers=1, call_queue=6) as pool, asyncio.timeout(600):
        hostile = [asyncio.create_task(calling(pool, "ann", slow.hold, str(end))) for end in ends[:2]]
        while not all(end.with_suffix(".began").exists() for end in ends[:2]):
            await asyncio.sleep(0.01)
        hostile += [asyncio.create_task(calling(pool, "ann", slow.hold, str(end))) for end in ends[2:]]
        await asyncio.sleep(0)
        with pytest.raises(ToolFailure, match="6 calls of this caller wait"):
            await calling(pool, "ann", slow.add, 1, 1)
        # One after the other, so that each of them finds all workers taken.
        assert len({await calling(pool, "bob", slow.pid) for _ in range(3)}) == 1  # it stays while it is needed
        assert await asyncio.gather(*(calling(pool, name, slow.add, 1, 1) for name in ("bob", "eve", "joe"))) == [2] * 3
        assert not any(call.done() for call in hostile)
        assert len(pool.workers) == 3
        for end in ends:
            end.touch()
        assert len(set(await asyncio.gather(*hostile))) == 2
        assert len(pool.workers) == 2  # the guests' is gone again


async def test_a_worker_that_has_grown_is_replaced_after_its_call(pools: Pools, probes: Probes) -> None:
    slow = probes("slow", SLOW)
    async with pools() as pool:
        usual = await pool.call("slow", slow.size)
    async with pools(call_recycle_mb=usual + 150) as pool:
        first = await pool.call("slow", slow.pid)
        assert await pool.call("slow", slow.pid) == first
        assert await pool.call("slow", slow.grow, 300) == first
        assert await pool.call("slow", slow.pid) != first


async def test_no_call_fails_through_replacing(pools: Pools, probes: Probes) -> None:
    slow = probes("slow", SLOW)
    async with pools(call_recycle_mb=1) as pool:  # every worker is too large after every call
        answers = await asyncio.gather(*(pool.call("slow", slow.add, n, n) for n in range(20)))
        pids = [await pool.call("slow", slow.pid) for _ in range(3)]
    assert answers == [2 * n for n in range(20)]
    assert len(set(pids)) == 3


LIBRARY = """
import os, time
from pathlib import Path
folder = Path("FOLDER")
with open(folder / "imports", "a") as file: file.write(f"{os.getpid()}\\n")
while not (folder / "loaded").exists(): time.sleep(0.01)
def pid(work):
    import probe.tools.library.client
    return os.getpid()
"""
USER = """
def pid(work):
    from probe.tools.library.client import pid
    return pid(work)
"""


async def test_the_warm_up_of_a_call_that_is_cancelled_goes_on_without_it(
    settings: Settings, probes: Probes, tmp_path: Path
) -> None:
    (tmp_path / "loaded").touch()
    user = probes("user", USER)
    probes("library", LIBRARY.replace("FOLDER", str(tmp_path)))  # it is loaded here at once, where nothing waits
    (tmp_path / "loaded").unlink()
    (tmp_path / "imports").unlink()

    def importing() -> list[int]:
        file = tmp_path / "imports"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    helpers = ThreadPoolExecutor(2)
    # A template that was never started: its workers are spawned, and import what they call.
    pool = WorkerPool(settings, Template(), helpers, ("probe.tools.library.client",))
    run = partial(pool.run, "user.pid", user.pid, (), "off")
    try:
        async with asyncio.timeout(600):
            for number in (1, 2, 2):  # the last call finds the worker that warms up, and takes it not along
                call = asyncio.create_task(run())
                while len(importing()) < number:
                    await asyncio.sleep(0.01)
                call.cancel()
                await asyncio.wait([call])
                while len(importing()) < 2:
                    await asyncio.sleep(0.01)
            (tmp_path / "loaded").touch()
            assert (await run()).value == importing()[-1]
        assert len(importing()) == 2
    finally:
        await asyncio.to_thread(helpers.shutdown)
        for worker in pool.workers:
            worker.stop()


def test_a_handle_that_starts_nothing_leaves_the_template_of_this_process_to_it(settings: Settings) -> None:
    template = warmed(settings)
    Template()
    child = template.context(forked=True).Process(target=os.getpid)
    child.start()
    child.join()
    assert child.exitcode == 0
