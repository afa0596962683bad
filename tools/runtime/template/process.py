"""The inside of the template process: preloaded into Python's fork server, where importing is the only hook there is.

The template must die with the server, keep off its stdout, and import what workers will need, but run none of it:
a child of a process that has run an OpenMP region or kept a thread hangs.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress

from ..inherited import inherited, keep_only
from ..limits import die_with_parent, divert_standard_streams, make_folders, worker_environment
from ..proctree import MARK, ROOM
from .admission import ask_of_all
from .preload import PACKAGE, VARIABLE, preload

# Every job begins with it.
KEEPER = f"{PACKAGE}.tools.runtime.jobs.keeper"


# Python restarts a template that has died from whatever thread wants a child, and it would die with that thread.
if VARIABLE not in os.environ:
    raise SystemExit("the template is started by the server itself")
server, threads, key, *entries = os.environ.pop(VARIABLE).split()
# What is forked from here shows the same block; each is told what it may have.
keep_only(inherited(os.environ))
# It stays in the block that the kernel shows, where what is forked writes its own; what is started from here has none.
for own in (MARK, ROOM):
    os.environ.pop(own, None)
divert_standard_streams()
ask_of_all(key)
die_with_parent(int(server))
# `python -c` looks into the working directory first, where anything may lie.
with suppress(ValueError):
    sys.path.remove("")
os.environ.update(worker_environment(int(threads)))
make_folders()
for each in (*entries, KEEPER):
    preload(each)
# What is here now is shared by all workers; a collection in one of them need not touch, and so copy, it.
gc.collect()
gc.freeze()
