"""What an agent may use, and what it has used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...config.settings import AgentSettings

Limit = Literal["tokens", "cost"]
PROMPT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
MILLION = 1_000_000
# Of the price of a token of the prompt, what one costs that is written to the cache or read from it:
# https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#pricing
CACHED = {"cache_creation_input_tokens": 1.25, "cache_read_input_tokens": 0.1}


@dataclass
class Spent:
    """Replies and tokens so far; `cost` in dollars, None where prices are unknown."""

    limits: AgentSettings
    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None

    def add(self, usage: Mapping[str, Any]) -> None:
        counts = {name: int(usage.get(name) or 0) for name in (*PROMPT, "output_tokens")}
        self.turns += 1
        self.input_tokens += sum(counts[name] for name in PROMPT)
        self.output_tokens += counts["output_tokens"]
        if self.limits.input_price and self.limits.output_price:
            paid = sum(counts[name] * CACHED.get(name, 1.0) for name in PROMPT) * self.limits.input_price
            self.cost = (self.cost or 0.0) + (paid + counts["output_tokens"] * self.limits.output_price) / MILLION

    @property
    def exceeded(self) -> Limit | None:
        """The limit that does not allow another reply."""
        if self.input_tokens + self.output_tokens >= self.limits.max_total_tokens:
            return "tokens"
        return "cost" if self.limits.max_cost and (self.cost or 0.0) >= self.limits.max_cost else None
