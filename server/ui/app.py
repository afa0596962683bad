"""The web application: a page for each address."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ...tools.errors import ToolFailure, Unavailable
from ...tools.storage.errors import StorageError
from ..html.document import document
from . import lists, registered, things
from .asking import CRASHED, Asked, Sources
from .frame import Page, framed, problem
from .guard import POLICY, Guard, Keys
from .overview import overview

Shown = Callable[[Sources, Asked], Awaitable[Page]]
SITE: Mapping[str, Shown] = MappingProxyType({
    "/": overview,
    "/runs": lists.runs, "/run": things.run,
    "/studies": lists.studies, "/study": things.study,
    "/models": registered.models, "/model": registered.model,
    "/datasets": lists.datasets, "/dataset": things.dataset,
    "/traces": lists.traces, "/trace": things.trace,
    "/endpoints": lists.endpoints, "/endpoint": things.endpoint,
    "/jobs": lists.jobs, "/job": things.job,
    "/lineage": things.lineage_of,
})  # fmt: skip
# Of an address nobody writes more by hand, and no cursor or filter of ours is as long.
LONGEST = 4000


def site(sources: Sources, keys: Keys, port: int) -> ASGIApp:
    """All pages behind the guard."""
    routes = [Route(path, _answering(sources, path, shown), methods=["GET"]) for path, shown in SITE.items()]
    missing = {404: _missing(sources)}
    return Guard(Starlette(routes=routes, exception_handlers=missing), keys, port)


def _answering(sources: Sources, path: str, shown: Shown) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        page = await _page(sources, path, shown, request)
        return _sent(page, sources)

    return answer


async def _page(sources: Sources, path: str, shown: Shown, request: Request) -> Page:
    """What is asked for, or why it cannot be shown."""
    given = {name: request.query_params.get(name, "")[:LONGEST] for name in Asked.__dataclass_fields__}
    try:
        return await shown(sources, Asked(**given))
    except (Unavailable, StorageError) as failure:
        return Page("This cannot be read now", problem(str(failure)), path, 503)
    except ToolFailure as failure:
        return Page("This is not there", problem(str(failure)), path, 404)
    except (ValidationError, json.JSONDecodeError):  # a row that was damaged, read outside of a worker
        return Page("This cannot be read", problem(CRASHED), path, 503)


def _missing(sources: Sources) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(_request: Request, _error: Exception) -> Response:
        return _sent(Page("There is no such page", problem("The parts above are all there is."), "", 404), sources)

    return answer


def _sent(page: Page, sources: Sources) -> Response:
    nonce = secrets.token_urlsafe(16)
    written = document(f"{page.title[:80]} · mlops-mcp", framed(page, str(sources.settings.home)), nonce)
    return HTMLResponse(written, page.status, {"Content-Security-Policy": POLICY.format(nonce=nonce)})
