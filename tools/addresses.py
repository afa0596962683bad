"""The addresses of resources: the templates that are published, and how they are filled in."""

from __future__ import annotations

from urllib.parse import quote

EXPERIMENTS = "mlflow://experiments"
RUN = "mlflow://runs/{run_id}"
MODEL = "mlflow://models/{name}"
VERSION = "mlflow://models/{name}/versions/{version}"
SUITE = "quality://suites/{suite}"
VALIDATION = "quality://validations/{validation}"
EXPLANATION_PICTURE = "picture://explanations/{explanation}/{kind}/{limit}"
METRIC_PICTURE = "picture://runs/{run_id}/metrics/{metric}"
AUDIT = "audit://recent"
LIMITS = "limits://mine"
ARTIFACT_PICTURE = "picture://runs/{run_id}/artifacts/{path}"


def address(template: str, **parts: object) -> str:
    """The address of one resource; whatever a part holds stays one part."""
    return template.format(**{name: quote(str(part), safe="") for name, part in parts.items()})
