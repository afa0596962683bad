"""The resources and prompts that the scenarios of the conformance suite read."""

from __future__ import annotations

import json

from mcp.server import MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.types import ImageContent, InputRequiredResult

from .pieces import Ctx, as_text, embedded, field_of, form, red_dot, said


def static_text() -> str:
    return "This is the content of the static text resource."


def static_binary() -> bytes:
    return red_dot()


def watched() -> str:
    return "watched"


def template(id: str) -> str:
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def test_simple_prompt() -> str:
    """One sentence."""
    return "This is a simple prompt for testing."


def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """Two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
    """A resource inside."""
    return [
        UserMessage(content=embedded(resourceUri, "Embedded resource content for testing.")),
        UserMessage(content=said("Please process the embedded resource above.")),
    ]


def test_prompt_with_image() -> list[UserMessage]:
    """A picture inside."""
    picture = ImageContent(type="image", data=as_text(red_dot()), mime_type="image/png")
    return [UserMessage(content=picture), UserMessage(content=said("Please analyze the image above."))]


async def test_input_required_result_prompt(ctx: Ctx) -> list[UserMessage] | InputRequiredResult:
    """Ask first."""
    context = field_of(ctx, "user_context", "context")
    if context:
        return [UserMessage(content=said(f"Work with: {context}"))]
    return InputRequiredResult(input_requests={"user_context": form("What is it about?", context="string")})


def add_contents(server: MCPServer[object]) -> None:
    server.resource("test://static-text")(static_text)
    server.resource("test://static-binary", mime_type="image/png")(static_binary)
    server.resource("test://watched-resource")(watched)
    server.resource("test://template/{id}/data", mime_type="application/json")(template)
    server.prompt()(test_simple_prompt)
    server.prompt()(test_prompt_with_arguments)
    server.prompt()(test_prompt_with_embedded_resource)
    server.prompt()(test_prompt_with_image)
    server.prompt()(test_input_required_result_prompt)
