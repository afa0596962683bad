"""A failure tells what to do next: each that is written in the code has a hint."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .conftest import ROOT

FAILURES = {"Denied", "NotInstalled", "ToolFailure", "Unavailable"}
FOLDERS = ("config", "prompts", "resources", "server", "tools")
# Where the message says it already: what each argument takes, and what a job has failed with.
SAID = {"server/arguments.py:invalid", "tools/runtime/context.py:view"}


def without_hint(code: str) -> Iterator[str]:
    """The functions that raise a failure with a message alone."""
    for function in ast.walk(ast.parse(code)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from (function.name for each in ast.walk(function) if isinstance(each, ast.Call) and lacks_hint(each))


def lacks_hint(call: ast.Call) -> bool:
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    hints = [*call.args[1:2], *(each.value for each in call.keywords if each.arg == "hint")]
    return name in FAILURES and all(isinstance(each, ast.Constant) and not each.value for each in hints)


def test_every_failure_has_a_hint() -> None:
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
    found = {
        f"{file.relative_to(ROOT).as_posix()}:{name}"
        for file in files
        for name in without_hint(file.read_text(encoding="utf-8"))
    }
    assert found == SAID


def test_a_failure_without_a_hint_is_found_however_it_is_written() -> None:
    for call in ("ToolFailure('a')", "errors.ToolFailure(f'{a}')", "Unavailable('a', '')", "ToolFailure('a', hint='')"):
        assert [*without_hint(f"def f():\n    raise {call}")] == ["f"]
    for call in ("ToolFailure('a', 'b')", "ToolFailure('a', hint=b)", "ValueError('a')"):
        assert [*without_hint(f"def f():\n    raise {call}")] == []
