"""What the calls and jobs of a token have written within a day."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.calls import worker
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.storage.usage import HOUR_S, LEAST, Usage
from mlops_mcp.tools.tracing.span import Carrier

MB = 1 << 20


def test_what_was_written_counts_for_a_day_and_for_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage, now = Usage(tmp_path), time.time()
    usage.add("ann", 30 * MB)
    usage.add("bob", 5 * MB)
    usage.add("", 99 * MB)
    usage.add("ann", 0)
    with monkeypatch.context() as later:
        later.setattr("time.time", lambda: now + 12 * HOUR_S)
        usage.add("ann", 20 * MB)
        assert (usage.within_a_day("ann"), usage.within_a_day("bob"), usage.within_a_day("eve")) == (50 * MB, 5 * MB, 0)
        with pytest.raises(ToolFailure, match=r"ann has written 50 MB within a day, and 50 MB are allowed .*disk_mb"):
            usage.require_room("ann", 50)
        usage.require_room("ann", 51)
        usage.require_room("ann", 0)
        usage.require_room("", 1)
    with monkeypatch.context() as later:
        later.setattr("time.time", lambda: now + 30 * HOUR_S)
        assert usage.within_a_day("ann") == 20 * MB
        usage.add("eve", MB)
    assert usage.within_a_day("bob") == 0  # old rows go


def test_a_table_that_cannot_be_written_fails_no_work(tmp_path: Path) -> None:
    (tmp_path / "usage.db").mkdir()
    Usage(tmp_path).add("ann", 5 * MB)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is counted")
def test_calls_that_write_little_add_up_and_each_token_owes_its_own(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(work: Work, size: int) -> None:
        (tmp_path / "few").write_bytes(bytes(size))

    monkeypatch.setattr(worker, "_process", {"settings": settings, "cache": {}})
    for _ in range(4):
        for name, size in (("ann", LEAST // 3), ("bob", 10)):
            worker.invoke(write, (size,), "off", Carrier(), Identity(name))
    usage = Usage(settings.home)
    assert usage.within_a_day("ann") >= LEAST
    assert usage.within_a_day("bob") == 0
