"""The context of an image: a bento with its model inside, and a Dockerfile that any builder of OCI images takes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ...runtime.work import Work
from ..bentos import Bento, model_folder
from .pins import closure

# Whose number is the one that BentoML's own images use; pods name it too.
USER = 1034
PORT = 3000
PLACE = "/home/bentoml/bento"
REQUIREMENTS, CONSTRAINTS, IGNORED = "requirements.txt", "constraints.txt", ".dockerignore"
# Libraries whose wheels take OpenMP from the system, which slim images do not have.
NEED_OPENMP = ("lightgbm",)
OPENMP = """\
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
"""
# What is kept here is for its owner alone, and keeps its mode in an image: so it is given to who runs there.
DOCKERFILE = """\
FROM python:{python}-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 BENTOML_DO_NOT_TRACK=True BENTOML_HOME=/tmp/bentoml
{system}RUN groupadd --gid {user} bentoml && useradd --uid {user} --gid {user} --create-home bentoml
WORKDIR {place}
COPY {requirements} {constraints} ./
RUN pip install --no-cache-dir --requirement {requirements} --constraint {constraints}
COPY --chown={user}:{user} bento ./
USER {user}:{user}
EXPOSE {port}
ENTRYPOINT ["python", "-m", "bentoml", "serve", "{place}", "--host", "0.0.0.0", "--port", "{port}"]
"""


def write_context(work: Work, bento: Bento, folder: Path) -> None:
    """Write what `docker build` wants: the bento, its model (which a stored bento only names), pins, a Dockerfile."""
    inside = folder / "bento"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(bento.folder, inside, ignore=ignored)
    shutil.copytree(model_folder(work, bento.spec), inside.joinpath("models", *bento.spec.model_tag.split(":")))
    _write(folder / REQUIREMENTS, "\n".join(sorted(bento.spec.packages)))
    _write(folder / CONSTRAINTS, "\n".join(closure(bento.spec.packages)))
    _write(folder / IGNORED, "**/__pycache__")
    _write(folder / "Dockerfile", dockerfile(bento.spec.packages))


def dockerfile(packages: list[str]) -> str:
    """Of this Python, for an unprivileged user, with what is pinned."""
    names = {each.partition("==")[0] for each in packages}
    return DOCKERFILE.format(
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        system=OPENMP if names.intersection(NEED_OPENMP) else "",
        user=USER,
        place=PLACE,
        requirements=REQUIREMENTS,
        constraints=CONSTRAINTS,
        port=PORT,
    ).rstrip("\n")


def _write(path: Path, text: str) -> None:
    path.write_text(f"{text}\n", encoding="utf-8")
