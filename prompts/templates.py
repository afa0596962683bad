"""The prompts: name, arguments and the Markdown template of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from ..tools.profiles import AGENTS


@dataclass(frozen=True)
class PromptSpec:
    """`arguments` maps each placeholder of the template to its description; all are required."""

    name: str
    title: str
    description: str
    arguments: Mapping[str, str]


PROMPTS = (
    PromptSpec(
        "train_to_serve",
        "From a file to a served model",
        "The whole lifecycle on one dataset, with the checks an honest analyst makes.",
        {"dataset": "File path or dataset handle.", "target": "Column to predict."},
    ),
    *(PromptSpec(agent.name, agent.title, agent.job, {"goal": "What this agent is to do."}) for agent in AGENTS),
)


def render(spec: PromptSpec, arguments: Mapping[str, str]) -> str:
    """The prompt's text. Raises KeyError for a missing argument."""
    template = files(__package__ or "").joinpath(f"{spec.name}.md").read_text(encoding="utf-8")
    return Template(template).substitute(arguments)
