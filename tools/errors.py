"""What a tool says when it cannot do its work: what was wrong, the nearest valid values, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# What to install when an import fails, by the module that was missing.
EXTRAS = {
    "mlflow": "tracking",
    "skops": "tracking",
    "great_expectations": "quality",
    "feast": "features",
    "ibis": "features",
    "duckdb": "features",
    "sklearn": "training",
    "xgboost": "training",
    "lightgbm": "training",
    "optuna": "tuning",
    "econml": "causal",
    "shap": "explain",
    "matplotlib": "explain",
    "bentoml": "serving",
    "opik": "observability",
    "anthropic": "observability",
}


class ToolFailure(Exception):
    """A failure that was foreseen; its text is written for the agent that reads it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message.rstrip('.')}. {self.hint}".strip() if self.hint else self.message


class NotInstalled(ToolFailure):
    """A library of a slice is missing; every other slice works on."""

    @classmethod
    def of(cls, module: str) -> NotInstalled | None:
        """The failure for a missing top-level module of one of our extras; None for any other module."""
        name = module.partition(".")[0]
        if name not in EXTRAS:
            return None
        return cls(f"{name} is not installed", f"Install it with: pip install 'mlops-mcp[{EXTRAS[name]}]'")


class Unavailable(ToolFailure):
    """A backend does not answer; the hint says which setting points to it."""


def unknown(kind: str, name: object, valid: Iterable[str], then: str = "", limit: int = 8) -> ToolFailure:
    """An unknown name: the nearest valid ones, or the first few if none is near."""
    names = sorted(set(valid))
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4)
    if not names:
        listed = f"There is no {kind} yet."
    elif near:
        listed = f"Did you mean {', '.join(near)}?"
    else:
        more = f" and {len(names) - limit} more" if len(names) > limit else ""
        listed = f"Valid: {', '.join(names[:limit])}{more}."
    return ToolFailure(f"unknown {kind} {str(name)!r}", f"{listed} {then}".strip())
