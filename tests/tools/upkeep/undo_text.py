"""Reads the calls that answers carry in `undo`, as an agent would."""

from __future__ import annotations

import ast
from typing import Any

WORDS = {"true": True, "false": False, "null": None}


def parsed(text: str) -> tuple[str, dict[str, Any]]:
    """The tool and its arguments.

    Raises:
        ValueError, AttributeError: the text is no call.
    """
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    assert not call.args
    return call.func.id, {str(each.arg): _value(each.value) for each in call.keywords}


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return WORDS[node.id]
    if isinstance(node, ast.List):
        return [_value(each) for each in node.elts]
    if isinstance(node, ast.Dict):
        return {ast.literal_eval(key): _value(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    return ast.literal_eval(node)
