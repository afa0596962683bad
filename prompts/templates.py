"""The prompts: name, arguments and the Markdown template of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from ..tools.profiles import AGENTS


@dataclass(frozen=True)
class Argument:
    """What is passed to a prompt. With a `default` it may be left out, and that stands in its place."""

    description: str
    default: str = ""
    optional: bool = False

    @property
    def required(self) -> bool:
        return not (self.default or self.optional)


@dataclass(frozen=True)
class PromptSpec:
    """`arguments` has one entry for each placeholder of the template, `tools` are those that it may name.

    `named` are the arguments that something is looked up for, or with; most are no placeholders.
    """

    name: str
    title: str
    description: str
    arguments: Mapping[str, Argument]
    tools: tuple[str, ...]
    named: tuple[str, ...] = ()

    @property
    def takes(self) -> Mapping[str, Argument]:
        """All of its arguments by name, those of the template first."""
        return {**self.arguments, **{name: NAMED[name] for name in self.named if name not in self.arguments}}


GOAL = Argument("What this agent is to do.")
KNOWN = Argument("Handles, paths and decisions so far.", "nothing yet")
METRIC = Argument("Score to judge by, such as auc or rmse.", "the one that fits the cost of being wrong")
# What may be named beside the goal; each is looked up where the prompt is made.
NAMED: Mapping[str, Argument] = {
    "dataset": Argument("Dataset handle or file path to begin with.", optional=True),
    "target": Argument("Column to predict, of the dataset.", optional=True),
    "validation": Argument("Handle of a validation: validation:<id>.", optional=True),
    "run": Argument("Handle of a run: run:<id>.", optional=True),
    "model": Argument("Registered model: its name or model:<name>/<version>.", optional=True),
    "study": Argument("Handle of a study: study:<name>.", optional=True),
    "explanation": Argument("Handle of a SHAP explanation: explanation:<id>.", optional=True),
    "endpoint": Argument("Handle of an endpoint: endpoint:<name>.", optional=True),
    "trace": Argument("Handle of a trace: trace:<id>.", optional=True),
}
OF_AGENTS: Mapping[str, tuple[str, ...]] = {
    "scope_definer": ("dataset", "target", "model"),
    "data_preparer": ("dataset", "target", "validation"),
    "model_selector": ("dataset", "target", "run", "model"),
    "model_trainer": ("dataset", "target", "study", "run"),
    "feature_analyzer": ("model", "explanation", "dataset", "target"),
    "model_deployer": ("model", "endpoint"),
    "observability_connector": ("endpoint", "trace", "run"),
    "prediction_synthesizer": ("endpoint", "model"),
}

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
        ("dataset", "target"),
    ),
    *(
        PromptSpec(
            agent.name, agent.title, agent.job, {"goal": GOAL, "known": KNOWN}, agent.tools, OF_AGENTS[agent.name]
        )
        for agent in AGENTS
    ),
)


def render(spec: PromptSpec, arguments: Mapping[str, str]) -> str:
    """The prompt's text. Raises KeyError for a missing argument that is required."""
    template = files(__package__ or "").joinpath(f"{spec.name}.md").read_text(encoding="utf-8")
    defaults = {name: argument.default for name, argument in spec.arguments.items() if not argument.required}
    given = {name: value for name, value in arguments.items() if value}
    return Template(template).substitute(defaults | given)
