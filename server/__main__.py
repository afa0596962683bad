"""`python -m mlops_mcp.server` is the `mlops-mcp` command."""

from .cli import main

raise SystemExit(main())
