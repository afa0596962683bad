"""`python -m mlops_mcp.examples.handover`: the eight agents on the credit-risk data, with a recorded model."""

from __future__ import annotations

import sys

from ...config.load import load
from .run import run

if __name__ == "__main__":
    sys.exit(run(load().settings, *sys.argv[1:]))
