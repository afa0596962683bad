"""How a tool looks on the wire: rendered once from its function, shortened, and committed as one file per tool."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from mcp.server.mcpserver.tools import Tool

from .estimates import holds_statistics
from .schemas import for_arguments, for_result
from .spec import Toolset, ToolSpec

FOLDER = "wire"
INDEX = "index.json"
# What a tool may cost at the most, in tokens.
MOST_TOKENS = 300
# Arguments that the server takes for every tool they make sense for.
KEY, SECONDS, MEGABYTES, DETAIL = "idempotency_key", "budget_s", "budget_mb", "detail"
WAIT = "wait_s"  # a tool's own, since it has a result to wait for
COMMON: dict[str, dict[str, Any]] = {
    KEY: {"type": "string", "description": "Once per key."},
    SECONDS: {"type": "number", "description": "Ends it then."},
    MEGABYTES: {"type": "integer", "description": "Ends it above."},
    DETAIL: {"type": "string", "enum": ["short", "full"], "description": "full: all digits"},
}
# What the instructions of the server tell of every tool: a tool without room for it leaves it to them, first to last.
TOLD_ONCE = (WAIT, KEY, DETAIL, SECONDS, MEGABYTES)
KEY_LENGTH = 128


def index() -> dict[str, list[str]]:
    """Slice -> its tools, in the order they are listed."""
    return json.loads(_read(INDEX))


def shipped(name: str) -> dict[str, Any]:
    """The committed wire form of one tool."""
    return json.loads(_read(f"{name}.json"))


def tokens(shape: Mapping[str, Any]) -> float:
    """What a host sends on of a tool to the model, at four characters a token."""
    seen = {key: shape[key] for key in ("name", "description", "inputSchema")}
    return len(json.dumps(seen, ensure_ascii=False, separators=(",", ":"))) / 4


def is_common(name: str, schema: Mapping[str, Any]) -> bool:
    """Whether an argument is for the server; a tool may have one of such a name, but of another shape."""
    return name in COMMON and _bare(schema) == _bare(COMMON[name])


def registered(spec: ToolSpec) -> Tool:
    """The SDK's tool object, which validates arguments and runs the function."""
    return Tool.from_function(spec.function, title=spec.title, description=inspect.getdoc(spec.function))


def render(spec: ToolSpec) -> dict[str, Any]:
    """What `tools/list` says of a tool."""
    tool = registered(spec)
    parameters = for_arguments(tool.parameters)
    names = (KEY,) * spec.takes_key + (SECONDS, MEGABYTES) * (spec.job is not None)
    names += (DETAIL,) * holds_statistics(tool.output_schema)
    # An argument of that name may be the tool's own.
    for name in names:
        parameters["properties"].setdefault(name, dict(COMMON[name]))
    shape = {
        "name": tool.name,
        "title": spec.title,
        "description": " ".join(tool.description.split()),
        "inputSchema": parameters,
        "outputSchema": for_result(tool.output_schema) if tool.output_schema else None,
        "annotations": {
            "readOnlyHint": spec.read_only,
            "destructiveHint": spec.destructive,
            "idempotentHint": spec.idempotent,
            "openWorldHint": spec.open_world,
        },
    }
    _make_room(shape)
    return shape


def render_all(toolsets: Mapping[str, Toolset]) -> dict[str, str]:
    """File name -> content of everything below `tools/wire/`."""
    rendered = {INDEX: {name: [spec.name for spec in toolset.tools] for name, toolset in toolsets.items()}}
    every = {f"{spec.name}.json": render(spec) for toolset in toolsets.values() for spec in toolset.tools}
    return {
        name: json.dumps(content, indent=1, ensure_ascii=False) + "\n" for name, content in (rendered | every).items()
    }


def _make_room(shape: dict[str, Any]) -> None:
    properties = shape["inputSchema"]["properties"]
    for name in TOLD_ONCE:
        if tokens(shape) > MOST_TOKENS and name in properties:
            properties[name] = _bare(properties[name])


def _bare(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "description"}


def _read(name: str) -> str:
    return files(__package__ or "").joinpath(FOLDER, name).read_text(encoding="utf-8")
