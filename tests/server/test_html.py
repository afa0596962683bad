"""Markup that no text can become, and drawings of what is strange."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from mlops_mcp.server.html.charts import Bar, bars, line
from mlops_mcp.server.html.graph import lineage
from mlops_mcp.server.html.markup import Html, joined, tag, text
from mlops_mcp.server.html.tree import trace_tree
from mlops_mcp.server.html.values import MOST_ROWS, number, plain, table
from mlops_mcp.tools.observability.models import Edge, LineageGraph, SpanNode, TraceTree

SCRIPT = "<script>alert(1)</script>"


def parsed(markup: Html) -> ElementTree.Element:
    """Well-formed also as XML, so that nothing swallows what follows it."""
    return ElementTree.fromstring(f"<all>{markup}</all>")


def test_only_what_is_markup_already_stays_markup() -> None:
    shown = tag("p", SCRIPT, tag("b", "&"), None, False, 0, 1.5, [SCRIPT, [tag("i", "x")]], title='"><x')
    assert shown == (
        '<p title="&quot;&gt;&lt;x">&lt;script&gt;alert(1)&lt;/script&gt;<b>&amp;</b>01.5'
        "&lt;script&gt;alert(1)&lt;/script&gt;<i>x</i></p>"
    )
    assert joined(None, False, "") == ""


def test_what_is_hidden_secret_or_endless_in_a_text_is_not_shown() -> None:
    assert text("a\x1b[31mb\u202ec\x00") == "abc"
    assert "aaaa" not in text(f"key sk-ant-api03-{'a' * 30}")
    assert len(text("y" * 100_000)) == 300
    assert tag("p", title="a\u202eb\x1b[2J") == '<p title="ab"></p>'


@pytest.mark.parametrize("points", [[], [(0, 1)], [(0, None), (1, math.nan)], [(0, math.inf), (1, 2)]])
def test_fewer_than_two_numbers_are_no_line(points: list[tuple[float, float | None]]) -> None:
    assert line("x", points) == ""


def test_a_line_of_the_largest_numbers_and_of_equal_ones_stays_in_its_picture() -> None:
    for values in ([1.7e308, -1.7e308, 0.0], [5.0, 5.0], [1e-320, 2e-320]):
        drawn = line("x", list(enumerate(values)))
        parsed(drawn)
        places = [float(each) for each in re.findall(r'c[xy]="([^"]+)"', drawn)]
        assert places
        assert all(0 <= each <= 640 for each in places)


@pytest.mark.parametrize("values", [[], [math.nan], [0.0], [math.inf]])
def test_without_a_number_that_is_not_nought_there_are_no_bars(values: list[float]) -> None:
    assert bars("x", [Bar("a", each) for each in values]) == ""


def test_bars_to_both_sides_with_intervals_are_drawn_one_below_the_other() -> None:
    drawn = parsed(bars(SCRIPT, [Bar(SCRIPT, -1, -2, 0.5), Bar("b", 3, bad=True), Bar("c", 1, 0, math.inf)]))
    tops = [float(each.get("y", "")) for each in drawn.iter("rect")]
    assert tops == sorted(set(tops))
    assert len(tops) == 3


def test_a_graph_with_a_circle_and_more_things_than_fit_ends() -> None:
    around = [Edge(child="a:1", parent="b:1", by="x"), Edge(child="b:1", parent="a:1", by="x")]
    many = [Edge(child=f"run:{number}", parent="a:1", by=SCRIPT) for number in range(500)]
    drawn = parsed(lineage(LineageGraph(handle="a:1", ancestors=around, descendants=[*around, *many]), text))
    assert len(list(drawn.iter("g"))) == 80


def test_a_thing_alone_is_drawn() -> None:
    assert len(list(parsed(lineage(LineageGraph(handle=SCRIPT, ancestors=[], descendants=[]), text)).iter("g"))) == 1


@pytest.mark.parametrize(
    "depths", [[], [0], [0, 1, 2, 1, 0], [0, 1, 2, 3, 0, 1], [0, 0, 0], [*range(500)], [*range(100), 50, 51, 0]]
)
def test_a_tree_of_any_form_is_well_formed_and_holds_every_span(depths: list[int]) -> None:
    nodes = [
        SpanNode(depth=depth, span=str(place), name=SCRIPT, kind="tool", status="ok", input={"a": SCRIPT})
        for place, depth in enumerate(depths)
    ]
    drawn = parsed(trace_tree(TraceTree(trace="trace:a", tree="", spans=nodes)))
    assert len(list(drawn.iter("li"))) == len(depths)
    assert list(drawn.iter("script")) == []


def test_a_long_table_says_how_much_it_leaves_out() -> None:
    shown = table("t", ("a", "b"), [("x", "y")] * (MOST_ROWS + 7))
    assert len(list(parsed(shown).iter("tr"))) == MOST_ROWS + 1
    assert "7 more are not shown" in shown


def test_numbers_and_values_of_any_kind_are_said() -> None:
    assert [number(each) for each in (None, 3, 2**70, 0.1 + 0.2, math.nan, -math.inf)] == [
        "-", "3", str(2**70), "0.3", "nan", "-inf",
    ]  # fmt: skip
    assert plain({"a": [1, None, True], "b": {}}) != ""
    assert "and 92 more" in plain(list(range(100)))
