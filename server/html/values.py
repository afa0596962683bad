"""Numbers, texts, tables and whatever a client answers, as markup of a bounded size."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from .markup import Child, Html, joined, tag, text

MOST_ROWS, MOST_FIELDS, MOST_INLINE, WHOLE = 100, 200, 8, 4000
GOOD = ("ok", "done", "ready", "finished", "embedded", "passed", "better", "above_baseline", "complete", "same")
BAD = ("failed", "error", "lost", "dead", "degraded", "killed", "fail", "worse", "below_baseline", "drifted")
WAIT = ("queued", "running", "starting", "cancelled", "started", "unchecked", "pruned", "scheduled", "waiting")
# How a text becomes a link, where it names something that has a page.
Linked = Callable[[str], Html]


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers stand at its right side."""

    title: str
    number: bool = False


def number(value: float | None) -> str:
    """Six significant digits, whole numbers in full."""
    if value is None:
        return "-"
    if isinstance(value, bool | int):
        return str(value)
    return f"{value:.6g}" if math.isfinite(value) else str(value)


def state(word: str) -> Html:
    """A state as a word, coloured beside that."""
    low = word.lower()
    kind = " good" if low in GOOD else " bad" if low in BAD else " wait" if low in WAIT else ""
    return tag("span", word, class_=f"state{kind}")


def moment(written: str) -> Html:
    """A time of ISO 8601 to the second, as people write it."""
    return tag("time", written[:19].replace("T", " "), datetime=written[:40]) if written else Html()


def table(caption: str, columns: Sequence[Column | str], rows: Iterable[Sequence[Child]]) -> Html:
    """Rows whose first cell names them; at most `MOST_ROWS` of them, and how many more there are is said."""
    heads = [each if isinstance(each, Column) else Column(each) for each in columns]
    given = list(rows)
    body = [_row(heads, row) for row in given[:MOST_ROWS]]
    left = len(given) - len(body)
    return joined(
        tag(
            "div",
            tag(
                "table",
                tag("caption", caption),
                tag("thead", tag("tr", [tag("th", each.title, scope="col", class_=_side(each)) for each in heads])),
                tag("tbody", body),
            ),
            class_="scroll", tabindex=0, role="region", aria_label=caption,
        ),
        left > 0 and tag("p", f"{left} more are not shown.", class_="faint"),
    )  # fmt: skip


def _row(heads: Sequence[Column], cells: Sequence[Child]) -> Html:
    first, *others = zip(heads, cells, strict=True)
    return tag(
        "tr",
        tag("th", first[1], scope="row", class_=_side(first[0])),
        [tag("td", cell, class_=_side(head)) for head, cell in others],
    )


def _side(column: Column) -> str | None:
    return "number" if column.number else None


def pairs(fields: Mapping[str, Child], inline: bool = False) -> Html:
    """Names with their values; in a cell beside one another."""
    most = MOST_INLINE if inline else MOST_FIELDS
    shown = [joined(tag("dt", name), tag("dd", value)) for name, value in list(fields.items())[:most]]
    if len(fields) > most:
        shown.append(joined(tag("dt", "more"), tag("dd", str(len(fields) - most))))
    if not shown:
        return tag("span", "none", class_="faint")
    return tag("dl", [tag("div", each) for each in shown] if inline else shown, class_="inline" if inline else None)


def plain(value: Any, linked: Linked = text) -> Html:
    """Any JSON-like value, short."""
    if value is None:
        return tag("span", "-", class_="faint")
    if isinstance(value, bool):
        return text("yes" if value else "no")
    if isinstance(value, int | float):
        return text(number(value))
    if isinstance(value, str):
        return linked(value)
    if isinstance(value, BaseModel):
        return plain(value.model_dump(), linked)
    if isinstance(value, Mapping):
        return pairs({str(key): plain(each, linked) for key, each in value.items()}, inline=True)
    return _listed(list(value), linked)


def _listed(values: Sequence[Any], linked: Linked) -> Html:
    shown = [plain(each, linked) for each in values[:MOST_INLINE]]
    more = [text(f"and {len(values) - MOST_INLINE} more")] if len(values) > MOST_INLINE else []
    return Html(", ".join([*shown, *more])) if shown else tag("span", "none", class_="faint")


def facts(model: BaseModel, linked: Linked = text, without: Iterable[str] = ()) -> Html:
    """The fields of what a client answers; those that say nothing are left out."""
    left = set(without)
    told = {name: getattr(model, name) for name in type(model).model_fields if name not in left}
    return pairs(
        {
            name.replace("_", " "): state(value) if name in ("state", "status", "verdict") else plain(value, linked)
            for name, value in told.items()
            if value not in (None, "", [], {})
        }
    )


def notes(given: Sequence[str]) -> Html:
    """What a client remarks."""
    return tag("ul", [tag("li", each) for each in given[:MOST_ROWS]]) if given else Html()


def whole(value: Any) -> Html:
    """A value as it was written, as far as it fits."""
    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str)
    return tag("pre", text(written, WHOLE), tabindex=0)
