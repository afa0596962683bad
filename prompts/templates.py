"""The prompts: name, arguments and the Markdown template of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from ..tools.profiles import AGENTS


@dataclass(frozen=True)
class Argument:
    """What a placeholder of a template is for. With a `default` it may be left out, and that stands in its place."""

    description: str
    default: str = ""

    @property
    def required(self) -> bool:
        return not self.default


@dataclass(frozen=True)
class PromptSpec:
    """`arguments` has one entry for each placeholder of the template, `tools` are those that it may name."""

    name: str
    title: str
    description: str
    arguments: Mapping[str, Argument]
    tools: tuple[str, ...]


GOAL = Argument("What this agent is to do.")
KNOWN = Argument("Handles, paths and decisions so far.", "nothing yet")
METRIC = Argument("Score to judge by, such as auc or rmse.", "the one that fits the cost of being wrong")

LIFECYCLE = (
    "describe_dataset", "create_suite", "validate_dataset", "split_dataset", "tune_model", "train_model",
    "evaluate_model", "explain_model", "register_model", "package_model", "deploy_model", "predict",
)  # fmt: skip


PROMPTS = (
    PromptSpec(
        "train_to_serve",
        "From a file to a served model",
        "The whole lifecycle on one dataset, with the checks an honest analyst makes.",
        {
            "dataset": Argument("File path or dataset handle."),
            "target": Argument("Column to predict."),
            "metric": METRIC,
        },
        LIFECYCLE,
    ),
    *(PromptSpec(agent.name, agent.title, agent.job, {"goal": GOAL, "known": KNOWN}, agent.tools) for agent in AGENTS),
)


def render(spec: PromptSpec, arguments: Mapping[str, str]) -> str:
    """The prompt's text. Raises KeyError for a missing argument that is required."""
    template = files(__package__ or "").joinpath(f"{spec.name}.md").read_text(encoding="utf-8")
    defaults = {name: argument.default for name, argument in spec.arguments.items() if not argument.required}
    given = {name: value for name, value in arguments.items() if value}
    return Template(template).substitute(defaults | given)
