"""Whatever registers, promotes or deploys is held by a rule that says so: the code of every tool is followed there."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from mlops_mcp.server.app import shapes
from mlops_mcp.server.policy.document import document
from mlops_mcp.server.policy.operations import OPERATIONS
from mlops_mcp.server.policy.policy import Attempt, decide
from mlops_mcp.tools import wire
from mlops_mcp.tools.runtime.identity import Identity

from ...conftest import ROOT

# What does it, in the end: a method of MLflow's client, or a function of ours by its module.
DOES = {
    "@registers": ("create_model_version", "copy_model_version"),
    "@promotes": ("transition_model_version_stage",),
    "@deploys": (
        "serving/deploying.py:deployed", "serving/endpoints.py:share", "serving/targets/cluster.py:apply",
        "serving/targets/bentocloud.py:apply", "serving/targets/exporting.py:export_deployment",
        "serving/client.py:rollback_endpoint",
    ),
}  # fmt: skip
Functions = dict[str, set[str]]


def called() -> Functions:
    """Of every function below tools/, by `module:name`, what it names: functions of ours, and methods of others."""
    found: Functions = {}
    for file in sorted((ROOT / "tools").rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        here = file.relative_to(ROOT / "tools").as_posix()
        known = dict(imported(tree, file)) | {name: f"{here}:{name}" for name, _ in defined(tree)}
        for name, each in defined(tree):
            found[f"{here}:{name}"] = set(named(each, known))
    return found


def defined(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """What a module defines: functions, classes, and tables that functions are chosen from."""
    for each in tree.body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield each.name, each
        elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            yield each.target.id, each


def imported(tree: ast.Module, file: Path) -> Iterator[tuple[str, str]]:
    """The name of each import of ours, and its module or `module:name`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = file.parents[node.level - 1].joinpath(*(node.module or "").split(".") if node.module else ())
        for alias in node.names:
            inner, outer = base / f"{alias.name}.py", base.with_suffix(".py")
            if inner.is_file() and inner.is_relative_to(ROOT / "tools"):
                yield alias.asname or alias.name, inner.relative_to(ROOT / "tools").as_posix()
            elif outer.is_file() and outer.is_relative_to(ROOT / "tools"):
                yield alias.asname or alias.name, f"{outer.relative_to(ROOT / 'tools').as_posix()}:{alias.name}"


def named(body: ast.AST, known: dict[str, str]) -> Iterator[str]:
    for node in ast.walk(body):
        if isinstance(node, ast.Name) and ":" in known.get(node.id, ""):
            yield known[node.id]
        elif isinstance(node, ast.Attribute):
            module = known.get(node.value.id, "") if isinstance(node.value, ast.Name) else ""
            yield f"{module}:{node.attr}" if module else node.attr


def reached(start: str, functions: Functions) -> set[str]:
    seen, waiting = {start}, [start]
    while waiting:
        new = functions.get(waiting.pop(), set()) - seen
        seen |= new
        waiting += new
    return seen


def tools() -> Iterator[tuple[str, str]]:
    """Each tool, and the function that is it."""
    for slice_name, names in wire.index().items():
        yield from ((name, f"{slice_name}/tools.py:{name}") for name in names)


@pytest.fixture(scope="module")
def doing() -> dict[str, set[str]]:
    """Operation -> the tools whose code reaches what does it."""
    functions = called()
    every = {name: reached(place, functions) for name, place in tools()}
    return {
        operation: {name for name, found in every.items() if found.intersection(does)}
        for operation, does in DOES.items()
    }


def test_every_tool_is_found_with_what_it_calls() -> None:
    functions = called()
    assert [place for _, place in tools() if place not in functions] == []
    assert all(any(end in reached_by for reached_by in functions.values()) or end in functions for end in ends())


def ends() -> Iterable[str]:
    return (end for does in DOES.values() for end in does if end != "copy_model_version")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_tool_that_does_it_is_missing_from_an_operation_and_none_is_in_it_that_does_not(
    doing: dict[str, set[str]], operation: str
) -> None:
    assert set(OPERATIONS[operation]) == doing[operation]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_rule_about_an_operation_holds_for_each_of_its_tools_alone(tmp_path: Path, operation: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(f"default: allow\ndeny: [{{tools: ['{operation}', '!log_model']}}]", encoding="utf-8")
    rules = document(file, shapes(()))
    denied = {
        name
        for name, _ in tools()
        if decide(rules, Attempt(name, {}, Identity("ann", "admin"), read_only=False)).effect == "deny"
    }
    assert denied == set(OPERATIONS[operation]) - {"log_model"}
    file.write_text(f"default: allow\ndeny: [{{tools: ['*', '!{operation}']}}]", encoding="utf-8")
    every = document(file, shapes(()))
    left = {
        name
        for name, _ in tools()
        if decide(every, Attempt(name, {}, Identity("ann", "admin"), read_only=False)).effect == "allow"
    }
    assert left == set(OPERATIONS[operation])
