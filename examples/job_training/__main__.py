"""`python -m mlops_mcp.examples.job_training`: what the experiment says, what the survey says, and what warns."""

from __future__ import annotations

import asyncio

from ...config.load import load
from .study import report, study

if __name__ == "__main__":
    print(report(asyncio.run(study(load().settings.home))))
