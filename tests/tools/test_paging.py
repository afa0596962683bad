"""Cursors: what a page says of the next one, and what of a caller's text counts as one."""

from __future__ import annotations

import base64
import json

import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.paging import Position, keyset_cursor, keyset_page, page, position_of


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def test_a_keyset_cursor_gives_back_its_position_exactly() -> None:
    last = Position(1764233333.1234567, "0ü" * 20)
    assert position_of("jobs", keyset_cursor("jobs", last)) == last
    assert position_of("jobs", "") is None


def test_a_keyset_page_names_its_last_item_when_more_follow() -> None:
    rows = [Position(float(number), str(number)) for number in range(4)]
    shown, cursor = keyset_page("jobs", rows, 3, lambda row: row)
    assert (shown, position_of("jobs", cursor or "")) == (rows[:3], rows[2])
    assert keyset_page("jobs", rows, 4, lambda row: row) == (rows, None)
    assert keyset_page("jobs", [], 4, lambda row: Position(0, str(row))) == ([], None)


@pytest.mark.parametrize(
    "forged",
    [
        "20", "x", "ü", "===", "a" * 10_000, encoded([]), encoded(1), encoded({"a": 1}),
        encoded(["jobs", 1.0]), encoded(["jobs", "1", "a"]), encoded(["jobs", 1.0, 2]),
        encoded(["jobs", float("nan"), "a"]), encoded(["jobs", float("inf"), "a"]), encoded(["jobs", True, "a"]),
        keyset_cursor("traces", Position(1, "a")),
    ],
)  # fmt: skip
def test_what_no_page_of_the_list_returned_is_refused(forged: str) -> None:
    with pytest.raises(ToolFailure, match="not a cursor of this list"):
        position_of("jobs", forged)


def test_a_complete_list_is_cut_by_offset() -> None:
    first = page(range(5), 3, "")
    assert (first.items, first.total) == ([0, 1, 2], 5)
    second = page(range(5), 3, first.next_cursor or "")
    assert (second.items, second.next_cursor) == ([3, 4], None)
    with pytest.raises(ToolFailure, match="not a cursor"):
        page(range(5), 3, "-1")
