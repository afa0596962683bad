"""Work that a server repeats beside its answers, and that must not end it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

import anyio

from ..tools.errors import ToolFailure

logger = logging.getLogger(__name__)


async def repeat(action: Callable[[], Awaitable[None]], every_s: float, trouble: str) -> NoReturn:
    """Do something again and again, whatever it raises; what lasts is logged once.

    Args:
        trouble: what the log says before the reason.
    """
    said = ""
    while True:
        await anyio.sleep(every_s)
        try:
            await action()
            said = ""
        except Exception as error:  # the edge: a loop that ended would be missed by nobody
            if said != (said := f"{type(error).__name__}: {error}"):
                _log(trouble, error)


def _log(trouble: str, error: Exception) -> None:
    foreseen = isinstance(error, OSError | ToolFailure)
    logger.warning("%s: %s", trouble, error, exc_info=None if foreseen else error)
