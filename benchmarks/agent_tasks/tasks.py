"""The twenty-four tasks."""

from __future__ import annotations

from . import everyday, judgement, known, trouble

TASKS = (*known.TASKS, *everyday.TASKS, *trouble.TASKS, *judgement.TASKS)
