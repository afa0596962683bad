"""How the work of an agent ended, in words that say how to go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Ending = Literal[
    "done",
    "refused",  # by the model
    "cut",  # the last reply is longer than it may be
    "turns", "tokens", "cost", "seconds",
    "context",  # what was said is longer than the model can read
    "busy", "failed", "unreachable",  # the API
    "server",  # ours is gone
    "interrupted",
]  # fmt: skip
STOPS: dict[str, Ending] = {
    "end_turn": "done",
    "stop_sequence": "done",
    "refusal": "refused",
    "max_tokens": "cut",
    "model_context_window_exceeded": "context",
    "tool_use": "turns",
    "pause_turn": "turns",
}
ADVICE: dict[Ending, str] = {
    "refused": "Say the goal in other words.",
    "cut": "Raise agent.max_tokens, or ask for less at once.",
    "turns": "Raise agent.max_turns, or ask for less at once.",
    "tokens": "Raise agent.max_total_tokens, or ask for less at once.",
    "cost": "Raise agent.max_cost, or ask for less at once.",
    "seconds": "Raise agent.max_s; jobs that it has started go on: mlops-mcp status.",
    "context": "Go on with what is known so far: a new conversation is short.",
    "busy": "Try again later, or raise agent.retries.",
    "failed": "Look at agent.model, agent.base_url and the key in ANTHROPIC_API_KEY.",
    "unreachable": "Look at agent.base_url and the network.",
    "server": "mlops-mcp doctor says what is wrong.",
    "interrupted": "Jobs that it has started go on: mlops-mcp status.",
}
BUSY = (429, 500, 502, 503, 504, 529)
MAX_ERROR = 500


@dataclass
class Report:
    """What one agent has done. `said` is its last text, `handles` what its tools made or named, newest last."""

    agent: str
    ending: Ending = "done"
    said: str = ""
    error: str = ""
    handles: list[str] = field(default_factory=list[str])
    decisions: list[str] = field(default_factory=list[str])
    calls: int = 0
    failed_calls: int = 0
    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    seconds: float = 0.0
    trace: str = ""
    advice: str = ""

    def end(self, ending: Ending, error: str = "") -> None:
        self.ending, self.error, self.advice = ending, error[:MAX_ERROR], ADVICE.get(ending, "")


def ending_of(stop_reason: str | None) -> Ending:
    """What the stop reason of the last reply means; one that is unknown ends it as any other reply."""
    return STOPS.get(stop_reason or "", "done")


def ending_of_error(error: Any) -> tuple[Ending, str] | None:
    """What an exception of the SDK means, and its words; None for any other."""
    import anthropic

    if isinstance(error, anthropic.APIConnectionError):
        return "unreachable", f"the Messages API cannot be reached: {error.__cause__ or error}"
    if not isinstance(error, anthropic.APIStatusError):
        return None
    said = f"the Messages API answered {error.status_code}: {_message(error)}"
    if error.status_code in BUSY:
        return "busy", said
    # Nothing but this text tells a prompt that is too long from other bad requests.
    too_long = error.status_code == 413 or "too long" in said or "context" in said.lower()
    return ("context", said) if error.status_code in (400, 413) and too_long else ("failed", said)


def _message(error: Any) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error")
    said = inner.get("message") if isinstance(inner, dict) else None
    return str(said or error.message)
