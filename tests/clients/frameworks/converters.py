"""Turns the tools into what each framework sends to its model, with the framework's own code.

Run by a Python that has the frameworks: `python converters.py FOLDER` reads the wire forms of the tools in FOLDER and
prints a JSON object: framework -> {tool: why it cannot be turned}.
"""

from __future__ import annotations

import copy
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Converter = Callable[[Json], None]


class Lost(Exception):
    """An argument does not reach the model as it was declared."""


def openai_agents() -> Converter:
    """Strict functions of OpenAI. An argument with free keys cannot be one; the SDK sends such a tool as it is."""
    from agents.strict_schema import ensure_strict_json_schema

    def convert(tool: Json) -> None:
        if not any(_is_free(node) for node in _nodes(_schema(tool))):
            _keeps(tool, ensure_strict_json_schema(_schema(tool), _reject_open_objects=True)["properties"])

    return convert


def google_genai() -> Converter:
    """Function declarations of Gemini."""
    from google.genai._mcp_utils import mcp_to_gemini_tool
    from mcp.types import Tool

    def convert(tool: Json) -> None:
        declared = mcp_to_gemini_tool(Tool.model_validate(tool)).function_declarations[0]
        _keeps(tool, declared.parameters.properties or {})

    return convert


def autogen() -> Converter:
    from autogen_ext.tools.mcp import StdioMcpToolAdapter, StdioServerParams
    from mcp.types import Tool

    def convert(tool: Json) -> None:
        adapter = StdioMcpToolAdapter(StdioServerParams(command="none"), Tool.model_validate(tool))
        _keeps(tool, adapter.schema["parameters"]["properties"])

    return convert


def langchain() -> Converter:
    """The function that langchain binds to a model of OpenAI."""
    from langchain_core.utils.function_calling import convert_to_openai_tool
    from langchain_mcp_adapters.tools import convert_mcp_tool_to_langchain_tool
    from mcp.types import Tool

    def convert(tool: Json) -> None:
        made = convert_mcp_tool_to_langchain_tool(None, Tool.model_validate(tool), connection={"transport": "stdio"})
        _keeps(tool, convert_to_openai_tool(made)["function"]["parameters"]["properties"])

    return convert


def pydantic_ai_openai() -> Converter:
    from pydantic_ai.profiles.openai import OpenAIJsonSchemaTransformer

    return lambda tool: _keeps(tool, OpenAIJsonSchemaTransformer(_schema(tool)).walk()["properties"])


def pydantic_ai_google() -> Converter:
    from pydantic_ai.profiles.google import GoogleJsonSchemaTransformer

    return lambda tool: _keeps(tool, GoogleJsonSchemaTransformer(_schema(tool)).walk()["properties"])


def crewai() -> Converter:
    """The model of arguments that the adapter of CrewAI, and that of smolagents, makes of a schema."""
    from mcpadapt.utils.modeling import create_model_from_json_schema, resolve_refs_and_remove_defs

    def convert(tool: Json) -> None:
        made = create_model_from_json_schema(resolve_refs_and_remove_defs(_schema(tool)))
        _keeps(tool, made.model_json_schema()["properties"])

    return convert


def bedrock() -> Converter:
    """Tools of Amazon Bedrock's Converse, checked by the service's description in botocore."""
    from botocore.session import Session
    from botocore.validate import ParamValidator

    operation = Session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape

    def convert(tool: Json) -> None:
        spec = {"name": tool["name"], "description": tool["description"], "inputSchema": {"json": _schema(tool)}}
        request = {"modelId": "a-model", "messages": [], "toolConfig": {"tools": [{"toolSpec": spec}]}}
        if (report := ParamValidator().validate(request, operation)).has_errors():
            raise Lost(report.generate_report())

    return convert


FRAMEWORKS: dict[str, Callable[[], Converter]] = {
    "openai-agents": openai_agents,
    "google-genai": google_genai,
    "autogen-ext": autogen,
    "langchain-mcp-adapters": langchain,
    "pydantic-ai for OpenAI": pydantic_ai_openai,
    "pydantic-ai for Google": pydantic_ai_google,
    "mcpadapt": crewai,
    "botocore": bedrock,
}


def _schema(tool: Json) -> Json:
    return copy.deepcopy(tool["inputSchema"])


def _keeps(tool: Json, properties: Iterable[str]) -> None:
    """Every argument is still there."""
    if lost := set(tool["inputSchema"]["properties"]) - set(properties):
        raise Lost(f"loses {', '.join(sorted(lost))}")


def _nodes(value: Any) -> Iterator[Json]:
    """Every schema within a schema."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(part)


def _is_free(node: Json) -> bool:
    """An object of any keys."""
    return node.get("type") == "object" and not (node.get("properties") and "additionalProperties" not in node)


def why_not(convert: Converter, tool: Json) -> str | None:
    """The reason for which a framework cannot take a tool."""
    try:
        convert(tool)
    except Exception as error:  # whatever a framework raises is what is asked for
        return f"{type(error).__name__}: {error}"[:300]
    return None


def failures(tools: list[Json], converter: Callable[[], Converter]) -> dict[str, str]:
    convert = converter()
    return {tool["name"]: reason for tool in tools if (reason := why_not(convert, tool))}


def main(folder: str) -> None:
    logging.disable()
    files = [file for file in sorted(Path(folder).glob("*.json")) if file.stem != "index"]
    tools = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    json.dump({name: failures(tools, converter) for name, converter in FRAMEWORKS.items()}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
