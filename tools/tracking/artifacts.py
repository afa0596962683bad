"""The files of a run and of the models that were logged in it.

The files of a model lie beside those of its run; here they are a folder of the run that is called as the model, `m-…`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from ..addresses import ARTIFACT_PICTURE, address
from ..errors import ToolFailure, unknown
from ..paging import Page, page
from ..pictures import Picture, described, shown, whole
from ..runtime.work import Work
from .checks import inside_run
from .client import opened_at
from .locations import require_artifacts
from .models import Artifact, ArtifactLine

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import FileInfo
    from mlflow.entities import Run as MlflowRun

Kind = Literal["text", "json", "table", "image"]
IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
TABLES = (".csv", ".tsv")
MOST_BYTES = 20_000_000
CHARS, TABLE_LINES = 4000, 20


def list_artifacts(work: Work, run: str, path: str, limit: int, cursor: str) -> Page[ArtifactLine]:
    """One folder of a run; the empty path is its top."""
    wanted = inside_run(path)
    with opened_at(work, run) as (client, found):
        require_artifacts(work.settings, found.info.artifact_uri or "")
        return page(_folder(client, found, wanted), limit, cursor)


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
        require_artifacts(work.settings, found.info.artifact_uri or "")
        line = _file(client, found, wanted)
        content = _fetched(work, client, found, wanted, Path(scratch)).read_bytes()
    run_id = found.info.run_id
    return Artifact(run=f"run:{run_id}", path=line.path, size=len(content), kind=_kind(line.path)), content


def _models(run: MlflowRun) -> list[str]:
    return [output.model_id for output in (run.outputs.model_outputs if run.outputs else [])]


def _folder(client: MlflowClient, run: MlflowRun, path: str) -> list[ArtifactLine]:
    """Raises ToolFailure for a folder that does not exist; MLflow says that it is empty."""
    found = _listed(client, run, path)
    if not path:
        return [*(ArtifactLine(path=model, folder=True) for model in _models(run)), *found]
    if not found and not _line_of(client, run, path).folder:
        raise ToolFailure(f"{path} is a file", f"read_artifact(run='run:{run.info.run_id}', path={path!r}) reads it.")
    return found


def _listed(client: MlflowClient, run: MlflowRun, path: str) -> list[ArtifactLine]:
    model, _, inside = path.partition("/")
    if model in _models(run):
        return _lines(client.list_logged_model_artifacts(model, inside or None), f"{model}/")
    return _lines(client.list_artifacts(run.info.run_id, path or None), "")


def _lines(files: Iterable[FileInfo], prefix: str) -> list[ArtifactLine]:
    lines = [ArtifactLine(path=prefix + file.path, folder=file.is_dir, size=file.file_size) for file in files]
    return sorted(lines, key=lambda line: (not line.folder, line.path))


def _line_of(client: MlflowClient, run: MlflowRun, path: str) -> ArtifactLine:
    above = path.rpartition("/")[0]
    if above and not _line_of(client, run, above).folder:
        raise ToolFailure(f"{above} is a file", f"read_artifact(run='run:{run.info.run_id}', path={above!r}) reads it.")
    known = {line.path: line for line in (_folder(client, run, "") if not above else _listed(client, run, above))}
    if path not in known:
        raise unknown(f"artifact of run:{run.info.run_id}", path, known, "list_artifacts shows them.")
    return known[path]


def _file(client: MlflowClient, run: MlflowRun, path: str) -> ArtifactLine:
    line = _line_of(client, run, path)
    if line.folder:
        raise ToolFailure(f"{path} is a folder", f"list_artifacts(run='run:{run.info.run_id}', folder={path!r}).")
    if (line.size or 0) > MOST_BYTES:
        raise ToolFailure(
            f"{path} has {line.size} bytes, more than the {MOST_BYTES} that are read", "Take a smaller one."
        )
    return line


def _fetched(work: Work, client: MlflowClient, run: MlflowRun, path: str, folder: Path) -> Path:
    from mlflow.artifacts import download_artifacts

    model, _, inside = path.partition("/")
    if model in _models(run):
        place = f"{client.get_logged_model(model).artifact_location}/{inside}"
        require_artifacts(work.settings, place)
        uri = work.settings.tracking_uri
        return Path(download_artifacts(artifact_uri=place, dst_path=str(folder), tracking_uri=uri))
    return Path(client.download_artifacts(run.info.run_id, path, str(folder)))


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
