"""What a rule speaks of: what forbids fits widely, what permits narrowly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.server.policy.matching import Pattern, among, at, fits, leaves

SPELLINGS: tuple[tuple[Pattern, Any], ...] = (
    ("Production", "production"),
    ("Production", " Production\n"),
    ("Production", "\uff30\uff52\uff4f\uff44\uff55\uff43\uff54\uff49\uff4f\uff4e"),  # full width
    ("Production", "Prod\u200buction"),
    ("Production", "\u202eProduction"),
    ("Production", "Pro\x1b[31mduction"),
    ("credit", "model:credit"),
    ("model:credit*", "models:/credit/3"),
    ("model:credit*", "credit/3"),
    ("dataset:loans@*", "loans@1"),
    (5, "5.0"),
    (5, "5e0"),
    ("5", 5.0),
    (False, "FALSE"),
)


@pytest.mark.parametrize(("pattern", "value"), SPELLINGS)
def test_another_spelling_stays_forbidden_and_is_not_permitted(pattern: Pattern, value: Any) -> None:
    assert fits(pattern, value, widely=True)
    assert not fits(pattern, value, widely=False)


@pytest.mark.parametrize(
    ("pattern", "value"), [("endpoint:*", "dataset:loans@1"), ("model:*", "run:1"), ("credit", "model:debit")]
)
def test_what_is_of_another_kind_is_not_meant(pattern: Pattern, value: Any) -> None:
    assert not fits(pattern, value, widely=True)


@pytest.mark.parametrize(
    ("pattern", "value", "same"),
    [
        ("loans*", "loans@1", True),
        ("loans*", "my loans", False),
        ("*", "", True),
        ("*", None, False),
        (None, None, True),
        (None, "null", False),
        (None, "", False),
        (True, True, True),
        (True, 1, False),
        (1, True, False),
        (1, 1.0, True),
        ("1", 1, False),
        (False, None, False),
    ],
)
def test_what_permits_is_the_value_itself_or_a_text_with_any_characters_for_a_star(
    pattern: Pattern, value: Any, same: bool
) -> None:
    assert fits(pattern, value, widely=False) == same


def test_a_path_is_where_a_text_leads_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "link").symlink_to(tmp_path / "secret")
    monkeypatch.chdir(tmp_path / "open")
    monkeypatch.setenv("HOME", str(tmp_path))
    secret, within = f"{tmp_path}/secret/*", f"{tmp_path}/open/*"
    ways = (
        f"{tmp_path}/secret/a.csv", f"{tmp_path}//secret/./a.csv", f"{tmp_path}/open/../secret/a.csv",
        "../secret/a.csv", "link/a.csv", f"{tmp_path}/open/link/a.csv", "~/secret/a.csv",
        f"file:{tmp_path}/secret/a.csv", f"file://{tmp_path}/secret/a.csv", f" {tmp_path}/SECRET/a.csv",
    )  # fmt: skip
    for way in ways:
        assert (way, fits(secret, way, widely=True)) == (way, True)
        assert (way, fits(within, way, widely=False)) == (way, False)
    above = ("../secret", "../secret/", "link", "..", "/", "~", "~/Secret", f"file:{tmp_path}", f"{tmp_path}/secret")
    for way in above:
        assert (way, fits(secret, way, widely=True)) == (way, True)
        assert (way, fits(secret, way, widely=False)) == (way, False)
    for beside in ("", " ", ".", "\0", "secret", "../sec", "../secrets", f"{tmp_path}/open"):
        assert (beside, fits(secret, beside, widely=True)) == (beside, False)
    assert not fits(within, "", widely=True)
    assert fits(within, f"{tmp_path}/open/a.csv", widely=False)
    # Here it may as well be the name of a dataset.
    assert not fits(within, "a.csv", widely=False)
    for nothing in ("\0", "\ud800", "~nobody/x", "x" * 10_000):
        assert not fits(within, nothing, widely=False)
    assert fits("~/secret/*", os.path.realpath(tmp_path / "secret" / "a"), widely=True)


@pytest.mark.parametrize(
    ("patterns", "value", "widely", "meant"),
    [
        (("a", "b"), "b", False, True),
        (("!a",), "b", False, True),
        (("!a",), "a", False, False),
        (("*", "!a"), "a", False, False),
        (("!root",), "Root", True, True),  # who is exempt from what is forbidden has exactly that name
        (("!root",), "Root", False, False),
        (("!root",), "", True, True),
        (("!a",), None, True, True),
    ],
)
def test_an_exclamation_mark_takes_out(patterns: tuple[Pattern, ...], value: Any, widely: bool, meant: bool) -> None:
    assert among(patterns, value, widely) == meant


def test_every_value_and_name_in_an_argument_is_looked_at() -> None:
    assert list(leaves({"a": [1, {"b": None}], "c": {}})) == ["a", 1, "b", None, "c"]
    assert list(leaves([])) == []
    assert at({"a": [{"b": 1}, {"b": 2}, 3]}, ["a", "b"]) == [1, 2, None]
    assert at("text", ["a"]) is None
