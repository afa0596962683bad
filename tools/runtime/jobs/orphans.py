"""The span of an attempt whose keeper died: whoever notices that ends it in its place."""

from __future__ import annotations

import logging
import sqlite3

from ....config.settings import Settings
from ...tracing.store.reader import TraceReader
from ...tracing.store.writer import TraceStore
from .table import JobRow

logger = logging.getLogger(__name__)


def end_span(settings: Settings, row: JobRow, why: str = "") -> None:
    """Close the span of an attempt if it is still open; blocking. A store that cannot be read is only logged.

    Args:
        why: what it failed of; without it, it was cancelled.
    """
    path = settings.trace_store
    mark = {"job": row.id, "attempt": row.attempt}
    try:
        spans = TraceReader(path).open_spans_of(row.trace_id)
    except sqlite3.Error as error:
        logger.warning("the span of job:%s stays open: %s", row.id, error)
        return
    left = [span for span in spans if mark.items() <= span.metadata.items()]
    if not left:
        return
    store = TraceStore.of(settings)
    for span in left:
        if why:
            span.fail(why)
        else:
            span.status = "cancelled"
        span.close()
        store.put(span)
    store.close()
