"""What stands around every page: the way to the others, and how things are linked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from ...tools.paging import Page as Listed
from ..html.markup import Child, Html, joined, tag, text
from ..html.values import Column, table
from .asking import Asked

# The address of a page and its name, in the order in which they are shown.
PAGES = {
    "/": "Overview", "/runs": "Runs", "/studies": "Studies", "/models": "Models", "/datasets": "Datasets",
    "/traces": "Traces", "/endpoints": "Endpoints", "/jobs": "Jobs", "/lineage": "Lineage",
}  # fmt: skip
# The kinds of handles that have a page of their own.
OWN_PAGE = ("run", "study", "model", "dataset", "trace", "endpoint", "job")
# What has a history alone: its page is that of the lineage.
HISTORY = ("bento", "suite", "validation", "explanation", "comparison", "view", "service", "export", "file",
           "source", "local", "input", "effect")  # fmt: skip


@dataclass(frozen=True)
class Page:
    """A title, what is below it, and in which part of the site it stands; `status` is that of HTTP."""

    title: str
    body: Html
    part: str = "/"
    status: int = 200


def framed(page: Page, home: str) -> Html:
    """The whole body of a page."""
    links = [
        tag("li", tag("a", name, href=address, aria_current="page" if address == page.part else None))
        for address, name in PAGES.items()
    ]
    return joined(
        tag("a", "To the content", href="#content", class_="skip"),
        tag(
            "header",
            tag("p", tag("strong", "mlops-mcp"), " reads ", tag("bdi", home), "; nothing can be changed here."),
            tag("nav", tag("ul", links), aria_label="Parts"),
        ),
        tag("main", tag("h1", page.title), page.body, id="content"),
    )


def linked(handle: str) -> Html:
    """A handle as a link to its page; any other text as it is."""
    kind, colon, _ = handle.partition(":")
    if not colon:
        return text(handle)
    if kind in OWN_PAGE:
        return link(f"/{kind}", Asked(of=handle), handle)
    return link("/lineage", Asked(of=handle), handle) if kind in HISTORY else text(handle)


def history(handle: str) -> Html:
    """The way to the graph around a thing."""
    return tag("p", link("/lineage", Asked(of=handle), "What it was made from, and what was made of it"))


def link(path: str, asked: Asked, *shown: Child) -> Html:
    return tag("a", *shown, href=address(path, asked))


def address(path: str, asked: Asked) -> str:
    given = {name: value for name, value in vars(asked).items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def problem(words: str) -> Html:
    """What could not be read, in a sentence."""
    return tag("p", words, class_="problem", role="status")


def listing(
    path: str, asked: Asked, found: Listed[Any], columns: Sequence[Column | str], rows: Sequence[Sequence[Child]]
) -> Html:
    """One page of a list with the way to the next."""
    if not rows:
        return tag("p", "There is none." if not asked.cursor else "There are no more.", class_="faint")
    told = f"{len(rows)} of {found.total}" if found.total is not None else f"{len(rows)} on this page"
    ways = [link(path, replace(asked, cursor=""), "First page")] if asked.cursor else []
    ways += [link(path, replace(asked, cursor=found.next_cursor), "Next page")] if found.next_cursor else []
    return joined(
        table(f"{PAGES[path]}: {told}", columns, rows),
        bool(ways) and tag("nav", [*ways], class_="pages", aria_label="Pages of the list"),
    )
