"""The tools that the core scenarios of the conformance suite call."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from mcp import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CreateMessageResult,
    EmbeddedResource,
    ImageContent,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel, Field

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.spec import Toolset, reads

from .pieces import Ctx, as_text, embedded, red_dot, said, silence

PAUSE_S = 0.05


def _picture() -> ImageContent:
    return ImageContent(type="image", data=as_text(red_dot()), mime_type="image/png")


async def test_simple_text() -> TextContent:
    """Say a sentence."""
    return said("This is a simple text response for testing.")


async def test_image_content() -> ImageContent:
    """Show a picture."""
    return _picture()


async def test_audio_content() -> AudioContent:
    """Play a sound."""
    return AudioContent(type="audio", data=as_text(silence()), mime_type="audio/wav")


async def test_embedded_resource() -> EmbeddedResource:
    """Hand out a resource."""
    return embedded("test://embedded-resource", "This is an embedded resource content.")


async def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Answer with several blocks."""
    data = embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json")
    return [said("Multiple content types test:"), _picture(), data]


async def test_tool_with_logging(ctx: Ctx) -> TextContent:
    """Log three times."""
    for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(message)  # pyright: ignore[reportDeprecated]
        await asyncio.sleep(PAUSE_S)
    return said("logged")


async def test_logging_tool(ctx: Ctx) -> TextContent:
    """Log once."""
    await ctx.info("logged once")  # pyright: ignore[reportDeprecated]
    return said("logged")


async def test_tool_with_progress(ctx: Ctx) -> TextContent:
    """Report progress three times."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(PAUSE_S)
    return said("done")


async def test_streaming_elicitation(ctx: Ctx) -> TextContent:
    """Report progress, and ask nothing."""
    return await test_tool_with_progress(ctx)


async def test_error_handling() -> TextContent:
    """Fail."""
    raise ToolFailure("This tool intentionally returns an error for testing")


async def test_sampling(prompt: str, ctx: Ctx) -> TextContent:
    """Ask the client's model."""
    message = SamplingMessage(role="user", content=said(prompt))
    made: CreateMessageResult = await ctx.session.create_message(  # pyright: ignore[reportDeprecated]
        [message], max_tokens=100, related_request_id=ctx.request_id
    )
    assert isinstance(made.content, TextContent)
    return said(f"LLM response: {made.content.text}")


class Response(BaseModel):
    response: str = Field(description="User's response")


async def test_elicitation(message: str, ctx: Ctx) -> TextContent:
    """Ask a person."""
    answer = await ctx.elicit(message, Response)
    content = answer.data.model_dump_json() if answer.action == "accept" else "{}"
    return said(f"User response: action={answer.action}, content={content}")


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Annotated[str, Field(json_schema_extra={"enum": ["active", "inactive", "pending"]})] = "active"
    verified: bool = True


async def test_elicitation_sep1034_defaults(ctx: Ctx) -> TextContent:
    """Ask a person with the answers filled in."""
    answer = await ctx.elicit("Please review your profile", Defaults)
    return said(f"Elicitation completed: action={answer.action}")


def _choice(*pairs: tuple[str, str]) -> list[Any]:
    return [{"const": value, "title": title} for value, title in pairs]


class Choices(BaseModel):
    untitledSingle: Annotated[str, Field(json_schema_extra={"enum": ["option1", "option2", "option3"]})]
    titledSingle: Annotated[str, Field(json_schema_extra={"oneOf": _choice(("value1", "One"), ("value2", "Two"))})]
    legacyEnum: Annotated[str, Field(json_schema_extra={"enum": ["opt1", "opt2"], "enumNames": ["One", "Two"]})]
    untitledMulti: Annotated[
        list[str], Field(json_schema_extra={"items": {"type": "string", "enum": ["option1", "option2"]}})
    ]
    titledMulti: Annotated[
        list[str], Field(json_schema_extra={"items": {"anyOf": _choice(("value1", "One"), ("value2", "Two"))}})
    ]


async def test_elicitation_sep1330_enums(ctx: Ctx) -> TextContent:
    """Let a person choose."""
    answer = await ctx.elicit("Please choose", Choices)
    return said(f"Elicitation completed: action={answer.action}")


async def test_reconnection(ctx: Ctx) -> TextContent:
    """Close the stream before the answer is there."""
    await ctx.close_sse_stream()
    await asyncio.sleep(4 * PAUSE_S)
    return said("Reconnection test completed")


async def test_missing_capability(ctx: Ctx) -> TextContent:
    """Want what the client cannot do."""
    if ctx.client_capabilities is None or ctx.client_capabilities.sampling is None:
        raise MCPError(
            code=MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="this tool needs sampling",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return said("sampling is there")


async def test_x_mcp_header(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
) -> TextContent:
    """Take an argument that is a header too."""
    return said(region)


async def test_trigger_tool_change(ctx: Ctx) -> TextContent:
    """Say that the tools have changed."""
    await ctx.notify_tools_changed()
    return said("told")


async def test_trigger_prompt_change(ctx: Ctx) -> TextContent:
    """Say that the prompts have changed."""
    await ctx.notify_prompts_changed()
    return said("told")


async def json_schema_2020_12_tool() -> TextContent:
    """Show every keyword."""
    return said("ok")


_ADDRESS: dict[str, Any] = {
    "$anchor": "addressDef",
    "type": "object",
    "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
}
# What no signature of a function can say.
JSON_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": _ADDRESS},
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

TOOLSET = Toolset(
    name="conformance_core",
    description="What the core scenarios call.",
    tools=tuple(
        reads(function, function.__name__)
        for function in (
            test_simple_text,
            test_image_content,
            test_audio_content,
            test_embedded_resource,
            test_multiple_content_types,
            test_tool_with_logging,
            test_logging_tool,
            test_tool_with_progress,
            test_streaming_elicitation,
            test_error_handling,
            test_sampling,
            test_elicitation,
            test_elicitation_sep1034_defaults,
            test_elicitation_sep1330_enums,
            test_reconnection,
            test_missing_capability,
            test_x_mcp_header,
            test_trigger_tool_change,
            test_trigger_prompt_change,
            json_schema_2020_12_tool,
        )
    ),
)
