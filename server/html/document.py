"""A whole page: one file that asks the network for nothing."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from .markup import Html, joined, tag


@cache
def style() -> Html:
    """The one style of all pages, in light and dark."""
    return Html((Path(__file__).parent / "style.css").read_text(encoding="utf-8"))


def document(title: str, body: Html, nonce: str | None = None, policy: str | None = None) -> str:
    """A page in English.

    Args:
        nonce: of the policy that the page is sent with, for its style.
        policy: what a page that is a file, and that nobody sends headers with, says of itself.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        policy and tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", style(), nonce=nonce),
    )
    return f"<!doctype html>\n{tag('html', joined(head, tag('body', body)), lang='en')}\n"
