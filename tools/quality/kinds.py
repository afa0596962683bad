"""The types of rules that a suite may hold, with their arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import unknown
from ..paging import Page, page
from ..runtime.work import Work
from .models import ExpectationType
from .rules import NEEDED, fields_of, registered

ABOUT_LENGTH = 120


def list_expectations(work: Work, search: str, limit: int, cursor: str) -> Page[ExpectationType]:
    """The types whose name or text holds every word of the search.

    Raises:
        ToolFailure: no type does.
    """
    words = search.lower().split()
    found = [kind for kind in _kinds() if all(word in f"{kind.type} {kind.about}".lower() for word in words)]
    if not found:
        raise unknown("expectation", search, registered(), "Search by one word, such as null, unique or between.")
    return page(found, limit, cursor)


def _kinds() -> Iterator[ExpectationType]:
    for name in sorted(registered()):
        needed = NEEDED.get(name, ())
        fields = [f"{field}*" if required or field in needed else field for field, required in fields_of(name).items()]
        yield ExpectationType(
            type=name, kwargs=", ".join(sorted(fields, key=lambda field: "*" not in field)), about=_about(name)
        )


def _about(name: str) -> str:
    from great_expectations.expectations.registry import get_expectation_impl

    text = re.sub(r"\s+", " ", get_expectation_impl(name).__doc__ or "").strip()
    sentence = re.split(r"(?<=[.])\s", text)[0].removeprefix("Expect ").removeprefix("the ")
    return sentence if len(sentence) <= ABOUT_LENGTH else f"{sentence[:ABOUT_LENGTH]}…"
