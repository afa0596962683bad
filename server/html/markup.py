"""HTML put together so that no text becomes markup: what is not `Html` already is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from ...tools.legible import legible
from ...tools.tracing.redaction import redact

# Names and values are anybody's: of a longer text the beginning is shown, and no more of it is looked at for secrets.
SHOWN, LOOKED_AT = 300, 4000
VOID = ("meta", "link", "input", "br")
# Elements of SVG that hold nothing; they have to be closed, or what follows stands inside them.
CLOSED = ("line", "rect", "path", "circle")
Value = str | int | float | bool | None


class Html(str):
    """Markup that may stand in a page as it is."""

    __slots__ = ()


Child = Html | Value | Iterable["Child"]


def text(value: Value, shown: int = SHOWN) -> Html:
    """A text without secrets and without what is hidden in it, cut to so many characters."""
    clean = redact(str(value)[:LOOKED_AT])
    return Html(escape(clean if len(clean) <= shown else f"{clean[: shown - 1]}…"))


def tag(name: str, /, *children: Child, **attributes: Value) -> Html:
    """An element; `class_` names the attribute class and `aria_label` aria-label, None and False leave one out."""
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in CLOSED:
        return Html(f"<{name}{given}/>")
    return Html(f"<{name}{given}>" if name in VOID else f"<{name}{given}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Html:
    """One after the other; None and False show nothing."""
    return Html("".join(map(_child, children)))


def _child(child: Child) -> str:
    if isinstance(child, Html):
        return child
    if child is None or child is False:
        return ""
    return text(child) if isinstance(child, str | int | float) else joined(*child)


def _attribute(key: str, value: Value) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(legible(str(value)))}"'
