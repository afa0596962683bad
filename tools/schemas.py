"""JSON schemas as every client can take them: what converters of clients are known to trip over is not in them.

Input: no `$ref`, no union with null, no `additionalProperties`, no exclusive bound, nothing without a type, no list
without its items, no `const`, no tuple. Unknown fields and values out of bounds are refused by the server itself.
Output: `$defs` stay, since inlining them makes the list of tools a third longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .estimates import ROUNDED

Schema = dict[str, Any]

# What pydantic calls any JSON; its schema there is empty.
ANY_JSON = "JsonValue"
SCALARS: list[Schema] = [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]
ANY: Schema = {"anyOf": [*SCALARS, {"type": "object"}, {"type": "array", "items": {"anyOf": SCALARS}}]}
MAX_DEPTH = 8
# Function declarations of some providers know no bound that a value may not reach.
UNKNOWN = ("exclusiveMinimum", "exclusiveMaximum", "additionalProperties")
# Nobody passes less than these, and who does is refused by the server.
OBVIOUS_BOUNDS = [(key, least) for key in ("minimum", "minLength", "minItems") for least in (0, 1)]
# The default that decides nothing.
UNDECIDED = "auto"
EMPTY: tuple[Any, ...] = (None, "", 0, [], {})
NULL: Schema = {"type": "null"}


def for_arguments(schema: Schema) -> Schema:
    """The schema of a tool's arguments, portable, and without what costs tokens and says nothing."""
    whole = _inlined(schema, schema.get("$defs", {}), 0)
    return {"properties": {}} | _changed(whole, _argument)


def for_result(schema: Schema) -> Schema:
    """The schema of a tool's result."""
    return _changed(schema, _result)


def _inlined(node: Any, definitions: Schema, depth: int) -> Any:
    if isinstance(node, list):
        return [_inlined(item, definitions, depth) for item in node]
    if not isinstance(node, dict):
        return node
    rest = {key: _inlined(child, definitions, depth) for key, child in node.items() if key not in ("$ref", "$defs")}
    if "$ref" not in node:
        return rest
    name = node["$ref"].rpartition("/")[2]
    if depth >= MAX_DEPTH:
        return {"type": "object"} | rest
    return ({} if name == ANY_JSON else _inlined(definitions[name], definitions, depth + 1)) | rest


def _changed(node: Any, change: Callable[[Schema], Schema]) -> Any:
    """The schema with every schema in it changed, innermost first."""
    if isinstance(node, list):
        return [_changed(item, change) for item in node]
    if not isinstance(node, dict):
        return node
    return change({key: _changed_child(key, child, change) for key, child in node.items() if not _is_title(key, child)})


def _changed_child(key: str, child: Any, change: Callable[[Schema], Schema]) -> Any:
    if key in ("properties", "$defs") and isinstance(child, dict):
        return {name: _changed(item, change) for name, item in child.items()}
    return child if key in ("default", "enum", "examples", "const", "required") else _changed(child, change)


def _is_title(key: str, child: Any) -> bool:
    return key == "title" and isinstance(child, str)


def _argument(node: Schema) -> Schema:
    known = {key: each for key, each in node.items() if key not in UNKNOWN and (key, each) not in OBVIOUS_BOUNDS}
    return _without_empty_default(_typed(_without_null(_list_like(known))))


def _without_null(node: Schema) -> Schema:
    """An argument that may be left out needs no null."""
    if "anyOf" not in node:
        return node
    kept = [option for option in node["anyOf"] if option != NULL]
    rest = {key: child for key, child in node.items() if key != "anyOf"}
    return kept[0] | rest if len(kept) == 1 else {"anyOf": kept} | rest


def _list_like(node: Schema) -> Schema:
    """A tuple of equal parts is a list of that length."""
    if "prefixItems" not in node:
        return node
    first, *others = node["prefixItems"]
    assert all(other == first for other in others), "a tuple of several types has no portable schema"
    return {key: child for key, child in node.items() if key != "prefixItems"} | {"items": first}


def _typed(node: Schema) -> Schema:
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if node.get("type") == "array" and not node.get("items"):
        node["items"] = ANY
    if "enum" in node and "type" not in node:
        node["type"] = "string"
    return node if "type" in node or "anyOf" in node else ANY | node


def _without_empty_default(node: Schema) -> Schema:
    """What is left out is empty anyway; then there is no empty choice beside the others either."""
    default = node.get("default", ...)
    if default in EMPTY:
        node.pop("default")
        if "enum" in node:
            node["enum"] = [choice for choice in node["enum"] if choice != ""]
    elif default == UNDECIDED:
        node.pop("default")
    elif isinstance(default, float) and default.is_integer():
        node["default"] = int(default)
    return node


def _result(node: Schema) -> Schema:
    """A number that is not finite goes out as null, which the schema has to allow."""
    node = _list_like(node)
    node.pop(ROUNDED, None)
    if isinstance(node.get("additionalProperties"), bool):
        node.pop("additionalProperties")
    return node | {"type": ["number", "null"]} if node.get("type") == "number" else node
