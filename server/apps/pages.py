"""The apps, each one HTML file that asks the network for nothing, and the tools whose answers they draw."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from ...tools.distributions import PROJECT
from ..html.document import document, style
from ..html.markup import Html, joined, tag


@dataclass(frozen=True)
class App:
    """Its name, what it shows, and the tools whose answers it draws."""

    name: str
    title: str
    tools: tuple[str, ...]

    @property
    def uri(self) -> str:
        return f"ui://{PROJECT}/{self.name}.html"


APPS: Mapping[str, App] = MappingProxyType({
    app.name: app
    for app in (
        App("runs", "Runs side by side.", ("compare_runs",)),
        App("study", "The progress and the best trials of a search.", ("get_study", "tune_model")),
        App("shap", "SHAP values.", ("explain_model", "explain_prediction")),
        App("drift", "How a dataset has drifted.", ("compare_datasets",)),
        App("traffic", "What an endpoint answers.", ("get_endpoint",)),
    )
})  # fmt: skip


def app_of(tool: str) -> App | None:
    """The app that draws what a tool answers."""
    return next((app for app in APPS.values() if tool in app.tools), None)


@cache
def page(name: str) -> str:
    """The whole file of an app. Its policy lets its own style and script alone count, whatever the host allows."""
    script = Html(f"\nconst VERSION = {json.dumps(version(PROJECT))};\n{_part(name)}{_part('draw')}{_part('bridge')}")
    policy = f"default-src 'none'; style-src {_digest(style())}; script-src {_digest(script)}; base-uri 'none'"
    waiting = tag("main", tag("h1", APPS[name].title.rstrip(".")), tag("p", "Waits for the answer.", role="status"))
    return document(APPS[name].title.rstrip("."), joined(waiting, tag("script", script)), policy=policy)


def _part(name: str) -> str:
    return (Path(__file__).parent / f"{name}.js").read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
