"""`python -m mlops_mcp` is the `mlops-mcp` command."""

from .server.cli import main

raise SystemExit(main())
