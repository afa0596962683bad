"""The server as it is, with the fixture tools of the conformance suite: `python -m tests.conformance.server`."""

from __future__ import annotations

import os

from mlops_mcp.config.load import load
from mlops_mcp.server.transports import serve

from .tools import TOOLSET

if __name__ == "__main__":
    serve(load(os.environ, {"server.port": 0, "runtime.job_slots": 4}).settings, "http", TOOLSET)
