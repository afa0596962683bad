"""What the job tools say."""

from __future__ import annotations

from pydantic import BaseModel

from ..runtime.jobs.table import JobRow
from ..runtime.models import Progress, State


class JobSummary(BaseModel):
    """One line of the job list."""

    job: str
    tool: str
    state: State
    seconds: float
    progress: Progress | None = None
    error: str | None = None

    @classmethod
    def of(cls, row: JobRow) -> JobSummary:
        return cls(
            job=f"job:{row.id}",
            tool=row.tool,
            state=row.state,
            seconds=round(row.seconds, 1),
            progress=Progress.model_validate_json(row.progress) if row.progress and row.state != "done" else None,
            error=row.error[:200] if row.error else None,
        )
