"""Opik's own REST client, without its retries: whether and when to try again is the shipper's business."""

from __future__ import annotations

import email.utils
import gc
import os
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ....config.backends import OpikSettings
from .bodies import Body, Kind

if TYPE_CHECKING:
    from opik.rest_api.client import OpikApi
    from opik.rest_api.core.api_error import ApiError
    from opik.rest_api.core.request_options import RequestOptions

QUIET: Mapping[str, str] = {
    "OPIK_SENTRY_ENABLE": "false",
    "OPIK_ANALYTICS_ENABLE": "false",
    "OPIK_CONSOLE_LOGGING_LEVEL": "CRITICAL",
}
REFUSALS = (400, 409, 413, 422)
LOCKED_OUT = (401, 402, 403, 404)
MAX_RETRY_AFTER_S = 600.0
ONCE: RequestOptions = {"max_retries": 0}
# Of a row that Opik knows already: what an update takes.
AMENDABLE = frozenset(
    (
        "project_name", "trace_id", "parent_span_id", "name", "type", "end_time", "input", "output", "metadata",
        "model", "provider", "tags", "usage", "error_info", "thread_id",
    )
)  # fmt: skip


class Refused(Exception):
    """Opik does not take one of the rows of a request, and will not take it later either."""


class Later(Exception):
    """The request may succeed another time, not before `after_s` seconds if that is known.

    `crashed` means that Opik itself failed, for which one of the rows may be to blame.
    """

    def __init__(
        self, why: str, after_s: float | None = None, *, locked_out: bool = False, crashed: bool = False
    ) -> None:
        super().__init__(why)
        self.after_s = after_s
        self.locked_out = locked_out
        self.crashed = crashed


class Sender(Protocol):
    def send(self, kind: Kind, bodies: Sequence[Body]) -> None:
        """Upsert rows by their ids. Raises Refused, Later."""
        ...

    def amend(self, kind: Kind, body: Body) -> None:
        """Update a row that Opik has accepted before. Raises Refused, Later."""
        ...


class OpikSender:
    """Sends to the Opik of the settings."""

    def __init__(self, settings: OpikSettings, connect_s: float, read_s: float) -> None:
        os.environ.update(QUIET)
        import httpx
        from opik import httpx_client
        from opik.rest_api.client import OpikApi

        with _translated():  # a key that no header can carry
            http = httpx_client.get(settings.workspace or None, settings.api_key.get_secret_value() or None, True, True)
        http.timeout = httpx.Timeout(read_s, connect=connect_s)
        # A redirected POST arrives as a GET, whose 200 would pass for an acceptance.
        http.follow_redirects = False
        self._api: OpikApi = OpikApi(base_url=settings.target, httpx_client=http, timeout=read_s)
        # Two thousand modules that are never freed.
        gc.collect()
        gc.freeze()

    def send(self, kind: Kind, bodies: Sequence[Body]) -> None:
        with _translated():
            _require_api(self._post(kind, bodies))

    def amend(self, kind: Kind, body: Body) -> None:
        given: dict[str, Any] = {name: value for name, value in body.items() if name in AMENDABLE}
        with _translated(refusals=(*REFUSALS, 404)):  # Opik has lost the row
            if kind == "traces":
                answer = self._api.traces.with_raw_response.update_trace(body["id"], request_options=ONCE, **given)
            else:
                answer = self._api.spans.with_raw_response.update_span(body["id"], request_options=ONCE, **given)
            _require_api(answer.headers)

    def _post(self, kind: Kind, bodies: Sequence[Body]) -> Mapping[str, str]:
        from opik.rest_api.types.feedback_score_batch_item import FeedbackScoreBatchItem
        from opik.rest_api.types.span_write import SpanWrite
        from opik.rest_api.types.trace_write import TraceWrite

        traces, spans = self._api.traces.with_raw_response, self._api.spans.with_raw_response
        post: dict[Kind, Callable[[], Any]] = {
            "traces": lambda: traces.create_traces(
                traces=[TraceWrite(**body) for body in bodies], request_options=ONCE
            ),
            "spans": lambda: spans.create_spans(spans=[SpanWrite(**body) for body in bodies], request_options=ONCE),
            "trace_scores": lambda: traces.score_batch_of_traces(
                scores=[FeedbackScoreBatchItem(**body) for body in bodies], request_options=ONCE
            ),
            "span_scores": lambda: spans.score_batch_of_spans(
                scores=[FeedbackScoreBatchItem(**body) for body in bodies], request_options=ONCE
            ),
        }
        headers: Mapping[str, str] = post[kind]().headers
        return headers


def _require_api(headers: Mapping[str, str]) -> None:
    if "html" in (headers.get("content-type") or ""):
        raise Later("a web page answers, not Opik's API: check opik.url, which ends in /api", locked_out=True)


@contextmanager
def _translated(refusals: Sequence[int] = REFUSALS) -> Generator[None]:
    import httpx
    from opik.rest_api.core.api_error import ApiError
    from pydantic import ValidationError

    try:
        yield
    except ApiError as error:
        if error.status_code in refusals:
            raise Refused(_said(error)) from error
        raise _later(error) from error
    except ValidationError as error:
        raise Refused(f"no valid row: {error}") from error
    # ValueError: a key that no header can carry
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise Later(f"{type(error).__name__}: {error}") from error


def _said(error: ApiError) -> str:
    return f"HTTP {error.status_code}: {str(error.body)[:300]}"


def _later(error: ApiError) -> Later:
    after_s = _retry_after(error.headers or {}) if error.status_code in (429, 503) else None
    status = error.status_code
    return Later(_said(error), after_s, locked_out=status in LOCKED_OUT, crashed=status == 500)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `Retry-After` (seconds or a date) or `RateLimit-Reset` (seconds)."""
    given = {name.lower(): value for name, value in headers.items()}
    text = given.get("retry-after") or given.get("ratelimit-reset") or ""
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", text):
        return min(float(text), MAX_RETRY_AFTER_S)
    date = email.utils.parsedate_tz(text) if text else None
    return min(max(0.0, email.utils.mktime_tz(date) - time.time()), MAX_RETRY_AFTER_S) if date else None
