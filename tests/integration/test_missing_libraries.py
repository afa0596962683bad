"""What is missing is named with its remedy, and everything else works on."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from ..conftest import UNHURRIED
from .slices import (
    DEPLOY,
    EFFECT,
    EVALUATE,
    EXPLAIN,
    FEATURES,
    MATERIALIZE,
    MODELS,
    PACKAGE,
    RUN,
    STUDY,
    SUITE,
    TUNE,
    WORKS,
    Answers,
    Call,
    train,
)

pytestmark = [pytest.mark.slow]

# Loaded by every Python process below the server, workers, jobs and endpoints included.
BLOCKER = """
import os, sys

absent = os.environ.get("PYTHON_ABSENT", "").split(",")

class Without:
    def __init__(self, finder):
        self._finder = finder

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else self._finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def server_without(home: Path, folder: Path, absent: Iterable[str], **variables: str) -> Client:
    """A server in a process of its own, in which and below which these libraries cannot be found."""
    (folder / "sitecustomize.py").write_text(BLOCKER, encoding="utf-8")
    hidden = {"PYTHONPATH": str(folder), "PYTHON_ABSENT": ",".join(absent)}
    return Client(
        StdioServerParameters(
            command=sys.executable,
            args=["-m", "mlops_mcp.server", "serve"],
            env={
                "PATH": os.environ["PATH"], "HOME": str(home), "MLOPS_HOME": str(home),
                **UNHURRIED, **hidden, **variables,
            },
            cwd=home,
        )
    )  # fmt: skip


# Library -> the extra that brings it, and the calls that need it.
NEEDED: Mapping[str, tuple[str, list[Call]]] = {
    "mlflow": ("tracking", [RUN, MODELS, EVALUATE, PACKAGE, EXPLAIN]),
    "great_expectations": ("quality", [SUITE]),
    "feast": ("features", [FEATURES, MATERIALIZE]),
    "optuna": ("tuning", [STUDY, TUNE]),
    "shap": ("explain", [EXPLAIN]),
    "bentoml": ("serving", [PACKAGE, DEPLOY]),
    "xgboost": ("training", [train("XGBoost")]),
    "lightgbm": ("training", [train("LightGBM")]),
    "econml": ("causal", [EFFECT]),
    "opik": ("observability", []),
}
# Lists what needs a missing library as well, since it was asked for; by itself, a server lists only what works.
ALL = {"MLOPS_SERVER__PUBLISH": "all"}
# What does its work with data, algorithms and our own state alone.
ALWAYS = ("data", "training", "serving", "jobs", "observability")


@dataclass(frozen=True)
class Alone:
    """Libraries without any of the others: the slices that work with them, and the absent ones that are asked for.

    What works always is tried where libraries are asked for: once without all but MLflow, once without that.
    """

    libraries: tuple[str, ...]
    works: tuple[str, ...]
    asked: tuple[str, ...] = ()


# Each slice works without every library that it does not stand on, and so without each of them.
ALONE = [
    Alone(("mlflow",), ("tracking", "registry"), tuple(NEEDED.keys() - {"mlflow"})),
    Alone(("great_expectations", "bentoml"), ("quality",), ("mlflow",)),
    Alone(("feast",), ("features",)),
    Alone(("optuna",), ("tuning",)),
    Alone(("mlflow", "shap"), ("explain",)),
]


def test_each_slice_and_each_library_is_tried_alone() -> None:
    assert {name for alone in ALONE for name in (*ALWAYS, *alone.works)} == WORKS.keys()
    assert {name for alone in ALONE for name in alone.asked} == NEEDED.keys()


@pytest.mark.parametrize("alone", ALONE, ids=["+".join(alone.libraries) for alone in ALONE])
async def test_a_slice_works_with_its_own_libraries_alone_and_what_needs_others_names_them_with_their_command(
    home: Path, tmp_path: Path, alone: Alone
) -> None:
    absent, asked = NEEDED.keys() - set(alone.libraries), ALL if alone.asked else {}
    async with server_without(home, tmp_path, absent, **asked) as client:
        answers = Answers(client)
        for library in alone.asked:
            extra, calls = NEEDED[library]
            for call in calls:
                command = f"not installed. Install it with: pip install 'mlops-mcp[{extra}]'"
                await answers.refuse(call, library, command)
        await answers.succeed(*(WORKS[name] for name in (*alone.works, *(ALWAYS if alone.asked else ()))))


async def test_a_postgresql_that_lives_needs_a_driver_which_is_named(home: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_say_no, args=(listening,), daemon=True).start()
        port = listening.getsockname()[1]
        address = f"postgresql://127.0.0.1:{port}/m"
        async with server_without(home, tmp_path, ["psycopg"], MLFLOW_TRACKING_URI=address) as client:
            await Answers(client).refuse(RUN, "psycopg is not installed", "pip install 'mlops-mcp[postgres]'")


def _say_no(listening: socket.socket) -> None:
    """PostgreSQL's answer to a client that asks for TLS."""
    connection, _ = listening.accept()
    with connection:
        connection.recv(8)
        connection.sendall(b"N")


async def test_an_artifact_store_that_needs_a_library_names_it_before_anything_is_written(
    home: Path, tmp_path: Path
) -> None:
    note = home / "artifacts" / "note.txt"
    note.parent.mkdir(exist_ok=True)
    note.write_text("x")
    async with server_without(home, tmp_path, ["boto3"], MLFLOW_ARTIFACT_ROOT="s3://somewhere-else") as client:
        answers = Answers(client)
        *_, run = await answers.ask(("start_run", {"experiment": "far", "name": "r"}))
        artifact = ("log_artifact", {"run": run["run"], "path": str(note)})
        await answers.refuse(artifact, "boto3 is not installed", "pip install 'mlops-mcp[s3]'")
        await answers.succeed(WORKS["data"])
