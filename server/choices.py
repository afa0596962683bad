"""What a person decides about a call: which of several things it means, and whether it may be done.

Where the client cannot ask them, the call is refused.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp import MCPError
from mcp.server.mcpserver import Context
from mcp.types import (
    CallToolResult,
    ClientCapabilities,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ConfigDict, ValidationError

from ..tools.errors import ARGUMENT, MissingArgument, NeedsChoice
from ..tools.legible import legible
from ..tools.runtime.identity import acting_lane

Answer = CallToolResult | InputRequiredResult
# Is given the arguments, and what was picked so far by what it was picked for.
Run = Callable[[dict[str, Any], Mapping[str, str]], Awaitable[Answer]]
Caller = Context[Any, Any]
FIELD = "choice"
MAX_QUESTIONS = 4
# Questions of one caller that are open at a time, and callers who have any: whoever has more is asked again.
MAX_OPEN, MAX_CALLERS = 100, 1000


class Round(BaseModel):
    """What a modern client hands back with its answer: what was picked before, and what was asked last.

    `nonce` is its own, so that it is handed back once: one answer serves one call.
    """

    model_config = ConfigDict(extra="forbid")

    nonce: str
    picked: dict[str, str]
    given: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Rounds:
    """The questions that modern clients were given and have not answered yet, by caller.

    They belong to one process, as the key does by which the SDK seals them: no other server takes one of its rounds.
    What does not fit any more is asked again, so that nothing is confirmed for want of memory.
    """

    _open: OrderedDict[str, OrderedDict[str, None]] = field(default_factory=OrderedDict[str, OrderedDict[str, None]])

    def ask(self, question: NeedsChoice, picked: Mapping[str, str]) -> str:
        """The state of a new question, which is answered once at most."""
        nonce = secrets.token_urlsafe(16)
        mine = self._open.setdefault(acting_lane(), OrderedDict())
        mine[nonce] = None
        self._open.move_to_end(acting_lane())
        while len(mine) > MAX_OPEN:
            mine.popitem(last=False)
        while len(self._open) > MAX_CALLERS:
            self._open.popitem(last=False)
        return Round(nonce=nonce, picked=dict(picked), given=question.given, choices=question.choices).model_dump_json()

    def take(self, context: Caller | None) -> Round | None:
        """The round that a call hands back, and for the last time.

        The state is sealed by the SDK; one that is not ours belongs to the tool.
        """
        if context is None or context.request_state is None:
            return None
        try:
            found = Round.model_validate_json(context.request_state)
        except ValidationError:
            return None
        mine = self._open.get(acting_lane(), OrderedDict[str, None]())
        if found.nonce not in mine:
            return None
        del mine[found.nonce]
        if not mine:
            del self._open[acting_lane()]
        return found


async def settled(
    run: Run, arguments: dict[str, Any], context: Caller | None, rounds: Rounds, fixed: bool = False
) -> Answer:
    """What a call answers once nothing in it is open any more, or the question a modern client has to put first.

    Args:
        rounds: the questions that are open.
        fixed: nothing in the arguments may be replaced.

    Raises:
        ToolFailure: the tool's; of a choice that nobody made, the refusal that says what could be passed.
    """
    last = rounds.take(context)
    picked = dict(last.picked) if last else {}
    if last and context and (choice := _choice((context.input_responses or {}).get(FIELD), last.choices)):
        picked[last.given] = choice
    while True:
        try:
            return await run(_filled(_replaced(arguments, picked), picked), picked)
        except NeedsChoice as question:
            if context is None or not _may_ask(context, question, {} if fixed else arguments, picked, last):
                raise
            if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
                state = rounds.ask(question, picked)
                return InputRequiredResult(input_requests={FIELD: _form(question)}, request_state=state)
            choice = _choice(await _asked(context, question), question.choices)
            if choice is None:
                raise
            picked[question.given] = choice


def _may_ask(
    context: Caller, question: NeedsChoice, arguments: dict[str, Any], picked: dict[str, str], last: Round | None
) -> bool:
    """Only what stands in one place can be replaced by what is picked, and nobody is asked the same twice."""
    asked_before = question.given in picked or (last is not None and last.given == question.given)
    return (
        bool(question.choices)
        and not asked_before
        and len(picked) < MAX_QUESTIONS
        and _has_place(arguments, question)
        and _takes_forms(context.client_capabilities)
    )


def _takes_forms(capabilities: ClientCapabilities | None) -> bool:
    elicitation = capabilities.elicitation if capabilities else None
    # A client that names no kind of question means forms.
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def _form(question: NeedsChoice) -> ElicitRequest:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {FIELD: {"type": "string", "enum": list(question.choices)}},
        "required": [FIELD],
    }
    message = legible(f"{question.message}. {question.question}")
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


async def _asked(context: Caller, question: NeedsChoice) -> ElicitResult | None:
    """The answer of a client of the handshake era; None if it cannot be reached or refuses to ask."""
    params = _form(question).params
    assert isinstance(params, ElicitRequestFormParams)
    try:
        return await context.session.elicit_form(
            params.message, params.requested_schema, related_request_id=context.request_id
        )
    except (MCPError, ValidationError):
        return None


def _choice(answer: object, choices: tuple[str, ...]) -> str | None:
    if not isinstance(answer, ElicitResult) or answer.action != "accept":
        return None
    chosen = (answer.content or {}).get(FIELD)
    return chosen if isinstance(chosen, str) and chosen in choices else None


def _has_place(arguments: dict[str, Any], question: NeedsChoice) -> bool:
    if isinstance(question, MissingArgument):
        return bool(arguments)
    return not question.replaces or _places(arguments, question.given) == 1


def _filled(arguments: dict[str, Any], picked: Mapping[str, str]) -> dict[str, Any]:
    """With the arguments that a person was asked for, which nobody has passed."""
    found = {name.removeprefix(ARGUMENT): choice for name, choice in picked.items() if name.startswith(ARGUMENT)}
    return arguments | found


def _replaced(node: Any, picked: dict[str, str]) -> Any:
    if isinstance(node, str):
        return picked.get(node, node)
    if isinstance(node, dict):
        return {key: _replaced(value, picked) for key, value in node.items()}
    return [_replaced(value, picked) for value in node] if isinstance(node, list) else node


def _places(node: Any, text: str) -> int:
    if isinstance(node, dict | list):
        return sum(_places(value, text) for value in (node.values() if isinstance(node, dict) else node))
    return int(node == text)
