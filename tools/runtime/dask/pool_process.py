"""The process of a member of a pool on a worker: it opens the subject and answers questions about it."""

from __future__ import annotations

import os
import pickle
import select
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from ....config.load import load
from ....config.settings import Settings
from ...errors import Unavailable
from ...platforms import give_way
from ...storage.state_files import keep_files_private
from ..confined import confine_to, slice_of
from ..jobs.launch import as_submitted, job_environment
from ..limits import divert_standard_streams, limit_memory, make_folders, memory_mb
from ..outcome import Outcome, outcome_of
from ..pool import Subject
from .processes import RESTED, Errand

# The worker may have no more questions, or the job may have been killed before it could say so.
REST_S = 60.0


def main(descriptor: int) -> None:
    keep_files_private()
    connection = Connection(descriptor)
    errand: Errand = connection.recv()
    threading.Thread(target=_end_with, args=(descriptor,), daemon=True).start()
    divert_standard_streams()
    # The secrets do not travel: they are those that this machine is configured with.
    settings = Settings.model_validate_json(as_submitted(load().settings, errand.settings))
    os.environ.update(job_environment(settings))
    make_folders()
    give_way(settings.runtime.job_nice)
    limit_memory(settings.runtime.job_memory_mb + memory_mb()[0])
    confine_to(settings, slice_of(errand.function), errand.function)
    opened = outcome_of(lambda: _opened(errand))
    while connection.poll(REST_S):
        question = connection.recv_bytes()
        connection.send_bytes(pickle.dumps(_answer(opened, question)))
    os._exit(RESTED)


def _opened(errand: Errand) -> Subject:
    try:
        with Path(errand.subject).open("rb") as file:
            subject: Subject = pickle.load(file)
    except OSError as error:
        raise Unavailable(
            f"a worker of the cluster cannot read {errand.subject}: {error.strerror}",
            "The state folder must have the same path on all workers.",
        ) from error
    subject.get_ready()
    return subject


def _answer(opened: Outcome, question: bytes) -> Outcome:
    subject: Subject | None = opened.value
    return outcome_of(lambda: subject.answer(pickle.loads(question))) if subject else opened


def _end_with(descriptor: int) -> None:
    """End this process as soon as nobody holds the other end of its connection, whatever it does."""
    ends = select.poll()
    ends.register(descriptor, 0)
    ends.poll()
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
