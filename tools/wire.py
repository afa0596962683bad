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
# Arguments that the server takes for every tool they make sense for.
KEY, SECONDS, MEGABYTES, DETAIL = "idempotency_key", "budget_s", "budget_mb", "detail"
COMMON: dict[str, dict[str, Any]] = {
    KEY: {"type": "string"},
    SECONDS: {"type": "number"},
    MEGABYTES: {"type": "integer"},
    DETAIL: {"type": "string", "enum": ["short", "full"]},
}
KEY_LENGTH = 128


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
    parameters = for_arguments(tool.parameters)
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
        "outputSchema": for_result(tool.output_schema) if tool.output_schema else None,
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
