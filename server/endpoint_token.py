"""`mlops-mcp endpoint-token`: what a program of the owner sends to an endpoint."""

from __future__ import annotations

import sys
from pathlib import Path

from ..tools.errors import ToolFailure
from ..tools.serving.endpoint_tokens import token_of


def print_token(home: Path, endpoint: str) -> int:
    """Print the token of an endpoint, alone on stdout."""
    try:
        print(token_of(home, endpoint))
    except ToolFailure as failure:
        print(f"mlops-mcp: {failure}", file=sys.stderr)
        return 2
    return 0
