"""How a tool looks on the wire: rendered once from its function, shortened, and committed as one file per tool."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from mcp.server.mcpserver.tools import Tool

from .estimates import ROUNDED, holds_statistics
from .spec import Toolset, ToolSpec

FOLDER = "wire"
INDEX = "index.json"
# Arguments that the server takes for every tool they make sense for.
KEY, SECONDS, MEGABYTES, DETAIL = "idempotency_key", "budget_s", "budget_mb", "detail"
COMMON: dict[str, dict[str, Any]] = {
    KEY: {"type": "string"},
    SECONDS: {"type": "number"},
    MEGABYTES: {"type": "integer"},
    DETAIL: {"enum": ["short", "full"]},
}
KEY_LENGTH = 128
ANY_JSON = {"$ref": "#/$defs/JsonValue"}


def index() -> dict[str, list[str]]:
    """Slice -> its tools, in the order they are listed."""
    return json.loads(_read(INDEX))


def shipped(name: str) -> dict[str, Any]:
    """The committed wire form of one tool."""
    return json.loads(_read(f"{name}.json"))


def registered(spec: ToolSpec) -> Tool:
    """The SDK's tool object, which validates arguments and runs the function."""
    return Tool.from_function(spec.function, title=spec.title, description=inspect.getdoc(spec.function))


def render(spec: ToolSpec) -> dict[str, Any]:
    """What `tools/list` says of a tool."""
    tool = registered(spec)
    parameters = _slim_input(tool.parameters)
    names = (KEY,) * spec.takes_key + (SECONDS, MEGABYTES) * (spec.job is not None)
    names += (DETAIL,) * holds_statistics(tool.output_schema)
    # An argument of that name may be the tool's own.
    for name in names:
        parameters["properties"].setdefault(name, COMMON[name])
    return {
        "name": tool.name,
        "title": spec.title,
        "description": " ".join(tool.description.split()),
        "inputSchema": parameters,
        "outputSchema": _slim_output(tool.output_schema) if tool.output_schema else None,
        "annotations": {
            "readOnlyHint": spec.read_only,
            "destructiveHint": spec.destructive,
            "idempotentHint": spec.idempotent,
            "openWorldHint": spec.open_world,
        },
    }


def render_all(toolsets: Mapping[str, Toolset]) -> dict[str, str]:
    """File name -> content of everything below `tools/wire/`."""
    rendered = {INDEX: {name: [spec.name for spec in toolset.tools] for name, toolset in toolsets.items()}}
    every = {f"{spec.name}.json": render(spec) for toolset in toolsets.values() for spec in toolset.tools}
    return {
        name: json.dumps(content, indent=1, ensure_ascii=False) + "\n" for name, content in (rendered | every).items()
    }


def _read(name: str) -> str:
    return files(__package__ or "").joinpath(FOLDER, name).read_text(encoding="utf-8")


def _slim_input(schema: dict[str, Any]) -> dict[str, Any]:
    """Drop what costs tokens and says nothing, and refuse arguments that do not exist."""
    slim = _walk(schema, _terse)
    slim.setdefault("properties", {})
    if "$defs" in slim:
        slim["$defs"].pop("JsonValue", None)
        if not slim["$defs"]:
            slim.pop("$defs")
    return slim


def _slim_output(schema: dict[str, Any]) -> dict[str, Any]:
    return _walk(schema, _nullable_number)


def _walk(node: Any, change: Any) -> Any:
    if isinstance(node, list):
        return [_walk(item, change) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {key: _walk_child(key, child, change) for key, child in node.items() if not _is_title(key, child)}
    return change(copy)


def _walk_child(key: str, child: Any, change: Any) -> Any:
    if key in ("properties", "$defs") and isinstance(child, dict):
        return {name: _walk(item, change) for name, item in child.items()}
    return child if key in ("default", "enum", "examples", "const") else _walk(child, change)


def _is_title(key: str, child: Any) -> bool:
    return key == "title" and isinstance(child, str)


def _terse(node: dict[str, Any]) -> dict[str, Any]:
    """An argument that may be left out needs no null, no empty default and no empty choice beside the others."""
    if node.get("default", 0) is None or node.get("default") == "" or node.get("default") is False:
        node.pop("default")
        if isinstance(node.get("enum"), list):
            node["enum"] = [choice for choice in node["enum"] if choice != ""]
    if isinstance(node.get("default"), float) and node["default"].is_integer():
        node["default"] = int(node["default"])
    # Any JSON at all: the schema of pydantic's JsonValue is empty.
    if node.get("additionalProperties") in (True, {}):
        node.pop("additionalProperties")
    if node.get("$ref") == ANY_JSON["$ref"]:
        node.pop("$ref")
    options = node.get("anyOf")
    if isinstance(options, list):
        kept = [option for option in options if option != {"type": "null"}]
        if len(kept) == 1:
            node.pop("anyOf")
            return kept[0] | node
        node["anyOf"] = kept
    return node


def _nullable_number(node: dict[str, Any]) -> dict[str, Any]:
    """A number that is not finite goes out as null, which the schema has to allow."""
    node.pop(ROUNDED, None)
    return node | {"type": ["number", "null"]} if node.get("type") == "number" else node
