"""What the fixtures of the conformance suite are made of: tiny pictures and sounds, questions, and their answers."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from mcp.server.mcpserver import Context
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)

Ctx = Context[Any, Any]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def red_dot() -> bytes:
    """A PNG of one pixel."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def silence() -> bytes:
    """A WAV of no sample."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    body = b"WAVE" + b"fmt " + form + b"data" + struct.pack("<I", 0)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def as_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def said(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def embedded(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    content = TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return EmbeddedResource(type="resource", resource=content)


def form(message: str, **fields: str) -> ElicitRequest:
    """A question to a person, by the JSON types of what is wanted."""
    properties: dict[str, Any] = {name: {"type": kind} for name, kind in fields.items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": list(fields)}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def prompt(text: str) -> CreateMessageRequest:
    """A question to the client's model."""
    message = SamplingMessage(role="user", content=said(text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))


def answers(ctx: Ctx) -> Mapping[str, Any]:
    return ctx.input_responses or {}


def field_of(ctx: Ctx, key: str, name: str) -> Any:
    """What a person has put into one field of an answer; None if they have not."""
    answer = answers(ctx).get(key)
    return (answer.content or {}).get(name) if isinstance(answer, ElicitResult) else None
