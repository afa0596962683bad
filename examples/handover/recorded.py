"""Recorded turns of a model, and what of a conversation stands in their gaps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter

GAP = re.compile(r"\$\{([a-z_]+)\.([A-Za-z0-9_.]+)\}")
FOLLOW = "follow_"
UNFINISHED = ("queued", "running")
WAIT_S = 50


class Refusal(BaseModel):
    """What the API answers before the turn is played; a client that tries again gets the next one."""

    model_config = ConfigDict(extra="forbid")

    status: int
    type: str = "api_error"
    message: str = "refused"


class Call(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tool: str
    input: dict[str, JsonValue] = {}


class Turn(BaseModel):
    """One reply: a text, calls, and why it ends if not for them. A turn that hangs is never answered."""

    model_config = ConfigDict(extra="forbid")

    say: str = ""
    call: list[Call] = []
    stop: str = ""
    refused: list[Refusal] = []
    tokens: tuple[int, int] = (100, 20)
    hang: bool = False


# By the name of the agent, which its prompt says; "" answers everybody else.
Script = Mapping[str, Sequence[Turn]]


def script_of(path: Path) -> Script:
    """Raises pydantic.ValidationError for what is no script."""
    found: Script = TypeAdapter(dict[str, list[Turn]]).validate_python(yaml.safe_load(path.read_text("utf-8")))
    return found


@dataclass(frozen=True)
class Conversation:
    """A request of the Messages API, read for what has happened in it."""

    messages: Sequence[Mapping[str, Any]]

    @property
    def opening(self) -> str:
        content = self.messages[0]["content"]
        return content if isinstance(content, str) else " ".join(block.get("text", "") for block in content)

    def agent(self, script: Script) -> str:
        """Whose prompt it is: it may name others, whom it hands over to."""
        named = (name for name in script if name and f"You are the {name.replace('_', ' ')}." in self.opening)
        return next(named, "")

    @property
    def place(self) -> int:
        """How many turns were played; to follow a job is none."""
        return sum(not follows(message) for message in self.messages if message["role"] == "assistant")

    @property
    def unfinished(self) -> list[str]:
        """The jobs that the last answers name and that have not ended."""
        last = [found for _, found in _results([self.messages[-1]])]
        return [str(found["job"]) for found in last if found.get("state") in UNFINISHED and "job" in found]

    def filled(self, node: Any) -> Any:
        """With each `${tool.path}` replaced by what the tool answered last, `${known.kind}` by a handle of the prompt.

        Raises:
            KeyError: nothing of that name was said.
        """
        if isinstance(node, str):
            if whole := GAP.fullmatch(node):
                return self._said(*whole.groups())
            return GAP.sub(lambda gap: str(self._said(*gap.groups())), node)
        if isinstance(node, dict):
            return {key: self.filled(item) for key, item in node.items()}
        return [self.filled(item) for item in node] if isinstance(node, list) else node

    def _said(self, tool: str, path: str) -> Any:
        if tool == "known":
            return _last_handle(self.opening, path)
        names = {call["id"]: call["name"] for call in _calls(self.messages)}
        jobs, answers = dict[str, str](), dict[str, dict[str, Any]]()
        for identity, found in _results(self.messages):
            name = names.get(identity, "")
            if job := str(found.get("job") or ""):
                name = jobs.setdefault(job, name)
            answers[name] = found["result"] if isinstance(found.get("result"), dict) else found
        return _at(answers[tool], path)


def follows(message: Mapping[str, Any]) -> bool:
    """Whether a reply asks for a job alone."""
    return any(call["id"].startswith(FOLLOW) for call in _calls([message]))


def _calls(messages: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for message in messages:
        if message["role"] == "assistant" and not isinstance(message["content"], str):
            yield from (block for block in message["content"] if block["type"] == "tool_use")


def _results(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The id of each call with what it answered, if that is an object."""
    for message in messages:
        blocks = [] if isinstance(message["content"], str) else message["content"]
        for block in blocks:
            if block["type"] == "tool_result" and isinstance(found := _decoded(block.get("content")), dict):
                yield block["tool_use_id"], found


def _decoded(content: Any) -> Any:
    texts = [content] if isinstance(content, str) else [part.get("text", "") for part in content or ()]
    try:
        return json.loads(texts[0])
    except (IndexError, ValueError):
        return None


def _at(found: Any, path: str) -> Any:
    for step in path.split("."):
        found = found[int(step)] if isinstance(found, list) else found[step]
    return found


def _last_handle(text: str, kind: str) -> str:
    """The last handle of a kind, or what stands behind the last `Word: `."""
    found = re.findall(rf"(?<!\w){kind}:\s?([\w@./:+-]*\w)", text)
    if not found:
        raise KeyError(f"no {kind} is known")
    handle = str(found[-1])
    return handle if kind[:1].isupper() or kind == "file" else f"{kind}:{handle}"
