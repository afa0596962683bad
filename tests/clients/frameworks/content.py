"""What the objects of the SDK, of either generation, come to."""

from __future__ import annotations

from typing import Any

from .steps import Outcome


def outcome(result: Any) -> Outcome:
    """Of the result of a call."""
    failed = getattr(result, "is_error", getattr(result, "isError", False))
    return Outcome(texts(result.content), bool(failed), any(part.type == "image" for part in result.content))


def texts(parts: Any) -> str:
    return "\n".join(part.text for part in parts if getattr(part, "text", None))


def resourced(result: Any) -> str:
    return texts(getattr(result, "contents", result))


def prompted(result: Any) -> str:
    return texts(message.content for message in result.messages)


def failures(convert: Any, tools: Any) -> dict[str, str]:
    """The tools that a framework cannot turn, each with the reason."""
    failed = {}
    for tool in tools:
        try:
            convert(tool)
        except Exception as caught:  # whatever a framework raises is what is asked for
            failed[tool.name] = f"{type(caught).__name__}: {caught}"
    return failed


class Session:
    """A client that has the methods of the SDK's session, under their names."""

    patience = 10  # it waits for as long as it takes

    def __init__(self, session: Any) -> None:
        self.session = session

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self.session.list_tools()).tools]

    async def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        return outcome(await self.session.call_tool(name, arguments))

    async def read(self, uri: str) -> str:
        return resourced(await self.session.read_resource(uri))

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        return prompted(await self.session.get_prompt(name, arguments))
