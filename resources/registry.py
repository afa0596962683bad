"""Registered models and versions as Markdown cards."""

from __future__ import annotations

from ..tools.errors import unknown
from ..tools.registry import client as registry
from ..tools.registry.models import ForeignModel, ModelVersion, RegisteredModel
from ..tools.runtime.work import Work
from .runs import cell


def model_card(work: Work, name: str) -> str:
    """A registered model with its versions."""
    model = registry.get_model(work, name, 20, False)
    lines = [_row(version) for version in model.versions]
    more = f"\n\n{model.omitted} older versions are left out." if model.omitted else ""
    table = "\n".join(["| version | stage | aliases | source | created |", "|---|---|---|---|---|", *lines])
    return f"# Model {cell(model.name)}\n\n{_summary(model)}\n\n{table}{more}"


def version_card(work: Work, name: str, version: str) -> str:
    """One version: where it came from, what it takes."""
    model = registry.get_model(work, f"model:{name}/{version}", 1, False)
    found = next((entry for entry in model.versions if str(entry.version) == version), None)
    if found is None:  # the handle is read more kindly than an address
        raise unknown(f"version of {name}", version, (str(entry.version) for entry in model.versions))
    inputs = "\n".join(f"- {cell(feature.name)} ({feature.kind})" for feature in model.inputs)
    parts = [
        f"# {cell(found.model)}",
        _summary(model),
        _facts(found),
        f"## Inputs\n{inputs}" if inputs else "",
        _described(model.foreign) if model.foreign else "",
    ]
    return "\n\n".join(part for part in parts if part)


def model_names(work: Work, prefix: str) -> list[str]:
    """For completion."""
    return [name for name in registry.model_names(work) if name.startswith(prefix)]


def version_numbers(work: Work, name: str, prefix: str) -> list[str]:
    """For completion."""
    numbers = [str(version.version) for version in registry.get_model(work, name, 100, False).versions]
    return [number for number in numbers if number.startswith(prefix)]


def _row(version: ModelVersion) -> str:
    facts = (version.version, version.stage, ", ".join(version.aliases), version.source, version.created)
    return f"| {' | '.join(map(cell, facts))} |"


def _summary(model: RegisteredModel) -> str:
    labels = f", classes {', '.join(map(cell, model.classes))}" if model.classes else ""
    what = f"{cell(model.algorithm)} for **{cell(model.target)}**{labels}, as version {model.versions[0].version}"
    parts = [cell(model.description), what if model.algorithm else "", *map(cell, model.notes)]
    return "\n\n".join(part for part in parts if part)


def _described(model: ForeignModel) -> str:
    """What a version that others have logged says of itself."""
    sides = (("takes", model.inputs), ("gives", model.outputs))
    facts = {
        "flavors": ", ".join(model.flavors),
        "owner": model.owner,
        "MLflow": model.mlflow,
        "files": ", ".join(model.files),
        **{side: ", ".join(f"{name}: {kind}" for name, kind in columns.items()) for side, columns in sides},
        "input example": "yes" if model.example else "no",
        "import_model": f"refuses it: {model.refused}" if model.refused else "takes it in",
    }
    lines = (f"- {name}: {cell(value)}" for name, value in facts.items() if value)
    return "\n".join(["## As MLflow describes it", *lines])


def _facts(version: ModelVersion) -> str:
    facts = {
        "stage": version.stage,
        "aliases": ", ".join(version.aliases),
        "source": version.source,
        "run": version.run,
        "created": version.created,
        "description": version.description,
        **version.tags,
    }
    return "\n".join(f"- {cell(name)}: {cell(value)}" for name, value in facts.items() if value)
