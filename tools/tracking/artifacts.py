"""The files of a run and of the models that were logged in it.

The files of a model lie beside those of its run; here they are a folder of the run that is called as the model, `m-…`.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from ..addresses import ARTIFACT_PICTURE, address
from ..errors import ToolFailure, unknown
from ..paging import Page, page
from ..pictures import Picture, described, shown, whole
from ..runtime.work import Work
from .checks import inside_run
from .client import opened_at
from .locations import artifacts_at, fetched, reached
from .models import Artifact, ArtifactLine

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

Kind = Literal["text", "json", "table", "image"]
IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
TABLES = (".csv", ".tsv")
MOST_BYTES = 20_000_000
CHARS, TABLE_LINES = 4000, 20


def list_artifacts(work: Work, run: str, path: str, limit: int, cursor: str) -> Page[ArtifactLine]:
    """One folder of a run; the empty path is its top."""
    wanted = inside_run(path)
    with opened_at(work, run) as (client, found):
        return page(_Files(work, client, found).folder(wanted), limit, cursor)


def read_artifact(work: Work, run: str, path: str, offset: int) -> tuple[Artifact, Picture | None]:
    """A part of a text file, or an image, small.

    Raises:
        ToolFailure: there is no such file, it is a folder, too large, or neither text nor an image.
    """
    about, content = _read(work, run, path)
    if about.kind != "image":
        return _part(content, about, offset), None
    picture = address(ARTIFACT_PICTURE, run_id=about.run.removeprefix("run:"), path=about.path)
    text = described(content)[:CHARS] or None
    return about.model_copy(update={"text": text, "picture": picture}), shown(content)


def artifact_picture(work: Work, run: str, path: str) -> bytes:
    """An image as a PNG, in full.

    Raises:
        ToolFailure: as of `read_artifact`, or the file is no image.
    """
    about, content = _read(work, run, path)
    if about.kind != "image":
        raise ToolFailure(f"{about.path} is no image", "read_artifact reads it.")
    return whole(content)


def _read(work: Work, run: str, path: str) -> tuple[Artifact, bytes]:
    wanted = inside_run(path)
    with opened_at(work, run) as (client, found), tempfile.TemporaryDirectory() as scratch:
        files = _Files(work, client, found)
        line = files.file(wanted)
        content = files.fetch(wanted, Path(scratch)).read_bytes()
    if line.size not in (None, len(content)):  # the page of a redirection, say
        raise ToolFailure(
            f"{wanted} has {len(content)} bytes, and {line.size} were said", "Repeat it if it is being written."
        )
    run_id = found.info.run_id
    return Artifact(run=f"run:{run_id}", path=line.path, size=len(content), kind=_kind(line.path)), content


@dataclass(frozen=True)
class _Files:
    """The files of a run and of its models."""

    work: Work
    client: MlflowClient
    run: MlflowRun

    def folder(self, path: str) -> list[ArtifactLine]:
        """Raises ToolFailure for a folder that does not exist; MLflow says that it is empty."""
        found = self._listed(path)
        if not path:
            return [*(ArtifactLine(path=model, folder=True) for model in self._models), *found]
        if not found and not self._line(path).folder:
            raise self._no_folder(path)
        return found

    def file(self, path: str) -> ArtifactLine:
        """What is known of a file, before it is fetched."""
        line = self._line(path)
        if line.folder:
            raise ToolFailure(f"{path} is a folder", f"list_artifacts(run={self._handle!r}, folder={path!r}).")
        if (line.size or 0) > MOST_BYTES:
            raise ToolFailure(
                f"{path} has {line.size} bytes, more than the {MOST_BYTES} that are read", "Take a smaller one."
            )
        return line

    def fetch(self, path: str, folder: Path) -> Path:
        repository, inside, _ = self._place(path)
        return fetched(repository, inside, folder, MOST_BYTES)

    @property
    def _handle(self) -> str:
        return f"run:{self.run.info.run_id}"

    @property
    def _models(self) -> list[str]:
        return [output.model_id for output in (self.run.outputs.model_outputs if self.run.outputs else [])]

    def _place(self, path: str) -> tuple[ArtifactRepository, str, str]:
        """Where a path leads: to what holds it, under which path in there, and what stands before that here."""
        model, _, inside = path.partition("/")
        if model not in self._models:
            return artifacts_at(self.work.settings, self.run.info.artifact_uri or ""), path, ""
        location = self.client.get_logged_model(model).artifact_location
        return artifacts_at(self.work.settings, location), inside, f"{model}/"

    def _listed(self, path: str) -> list[ArtifactLine]:
        repository, inside, before = self._place(path)
        with reached(str(repository.artifact_uri)):
            found = repository.list_artifacts(inside or None)
        lines = [ArtifactLine(path=before + file.path, folder=file.is_dir, size=file.file_size) for file in found]
        return sorted(lines, key=lambda line: (not line.folder, line.path))

    def _line(self, path: str) -> ArtifactLine:
        above = path.rpartition("/")[0]
        if above and not self._line(above).folder:
            raise self._no_folder(above)
        known = {line.path: line for line in (self._listed(above) if above else self.folder(""))}
        if path not in known:
            raise unknown(f"artifact of {self._handle}", path, known, "list_artifacts shows them.")
        return known[path]

    def _no_folder(self, path: str) -> ToolFailure:
        return ToolFailure(f"{path} is a file", f"read_artifact(run={self._handle!r}, path={path!r}) reads it.")


def _kind(path: str) -> Kind:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in IMAGES:
        return "image"
    return "json" if suffix == ".json" else "table" if suffix in TABLES else "text"


def _part(content: bytes, about: Artifact, offset: int) -> Artifact:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ToolFailure(
            f"{about.path} is no text: {about.size} bytes of {PurePosixPath(about.path).suffix or 'unknown format'}",
            "Text, JSON, CSV and images are read.",
        )
    shown = _whole_lines(text, offset) if about.kind == "table" else text[offset : offset + CHARS]
    end = offset + len(shown)
    kind: Kind = "text" if about.kind == "json" and not _is_json(text) else about.kind
    update = {"text": shown, "lines": len(text.splitlines()), "next_offset": end if end < len(text) else None}
    return about.model_copy(update=update | {"kind": kind})


def _whole_lines(text: str, offset: int) -> str:
    lines = text[offset:].splitlines(keepends=True)[:TABLE_LINES]
    return "".join(lines)[:CHARS]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
