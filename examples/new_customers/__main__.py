"""`python -m mlops_mcp.examples.new_customers`: the story, line by line."""

from __future__ import annotations

import asyncio

from ...config.load import load
from .story import tell


async def main() -> None:
    async for line in tell(load().settings.home):
        print(line, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
