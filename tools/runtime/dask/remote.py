"""The process of a job on a worker of a cluster: what to do comes over stdin, what it says goes out over stdout."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.connection import Connection

from ....config.load import load
from ....config.settings import Settings
from ...errors import ToolFailure
from ...logtail import tail
from ...storage.state_files import keep_files_private
from ...tracing.span import Carrier
from ..jobs.channel import StreamChannel
from ..jobs.child import perform
from ..jobs.launch import as_submitted, job_environment
from ..jobs.supervisor import ENDED, Child, ProcessDied
from ..jobs.table import End, JobRow
from ..limits import divert_standard_streams, make_folders
from .runner import DIED


def main() -> None:
    keep_files_private()
    spec = json.loads(_line(0))
    row, carrier = JobRow(**json.loads(spec["row"])), Carrier(**json.loads(spec["carrier"]))
    inbox, out = os.dup(0), os.fdopen(os.dup(1), "w", encoding="utf-8")
    divert_standard_streams()
    channel, own = StreamChannel(out, _reader(inbox)), load().settings
    if refused := other_storage(own, row.settings):
        channel.note(ENDED, json.dumps(asdict(End("failed", error=str(refused), fault="refused"))))
        return
    # The secrets do not travel: they are those that this machine is configured with.
    settings = Settings.model_validate_json(as_submitted(own, row.settings))
    os.environ.update(job_environment(settings))
    make_folders()

    def work(carrier: Carrier, connection: Connection) -> None:
        perform(settings, row, carrier, connection)

    end = Child(work, spec["mark"]).run(carrier, channel, row.limits, lambda: tail(2))
    if isinstance(end, ProcessDied):
        channel.note(DIED, json.dumps(asdict(end)))
    else:
        channel.note(ENDED, json.dumps(asdict(end)))


def other_storage(own: Settings, kept: str) -> ToolFailure | None:
    """Why a job of settings that were `stored` has no data here: what it makes would stay with this worker."""
    theirs = str(json.loads(kept).get("storage", {}).get("files", ""))
    if theirs == own.storage.files:
        return None
    return ToolFailure(
        f"a Dask worker has storage.files {own.storage.files!r}, and the server that sent the job {theirs!r}",
        "Start the worker with the MLOPS_STORAGE__FILES and MLOPS_STORAGE__DATABASE of the server.",
    )


def _line(descriptor: int) -> bytes:
    """One line, byte by byte: what comes after it is for another reader."""
    line = b""
    while not line.endswith(b"\n"):
        if not (byte := os.read(descriptor, 1)):
            sys.exit("nothing to do was said")
        line += byte
    return line


def _reader(descriptor: int) -> Callable[[], list[str] | None]:
    """Reads the lines that have come so far; None once there will be no more."""

    rest = bytearray()

    def read() -> list[str] | None:
        while select.select([descriptor], [], [], 0)[0]:
            if not (piece := os.read(descriptor, 1 << 16)):
                return None
            rest.extend(piece)
        whole, _, begun = bytes(rest).rpartition(b"\n")
        rest[:] = begun
        return whole.decode().splitlines()

    return read


if __name__ == "__main__":
    main()
