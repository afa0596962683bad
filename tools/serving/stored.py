"""What BentoML's store holds, whoever has put it there, and what of it can be deployed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from ...config.document import decoded, parse
from ...config.errors import SettingsError
from ..distributions import PROJECT
from ..paging import OwnPage, Page, page
from ..replica.alone import of_this_server
from ..runtime.work import Work
from ..tracking.models import cut, fit
from .bentos import BENTO_FILE, Bento, damage_of, packaged_in
from .models import StoredKind, StoredLine

MODEL_YAML = "model.yaml"
MAX_BYTES = 1 << 20
TEXT_CHARS, LABELS_CHARS = 200, 300
NOT_OURS = "it was not packaged here, and runs code of its own: package_model makes one that can be deployed"
ALONE = "a model without a service: package_model packages registered ones, import_model takes in files"
PLACES: tuple[tuple[StoredKind, str, str], ...] = (("bento", "bentos", BENTO_FILE), ("model", "models", MODEL_YAML))


def list_bentos(work: Work, limit: int, cursor: str) -> OwnPage[StoredLine]:
    """The bentos by name, then the models; nothing of them is run or changed."""
    found = page([*_stored(work.settings.bentoml_home)], limit, cursor)
    lines = [_line(work, kind, folder, file) for kind, folder, file in found.items]
    return of_this_server(work.settings, Page(items=lines, total=found.total, next_cursor=found.next_cursor))


def _stored(home: Path) -> Iterator[tuple[StoredKind, Path, str]]:
    """The folders `<name>/<version>` that hold a description; BentoML's `latest` is a file beside them."""
    for kind, place, file in PLACES:
        folders = (home / place).glob("*/*") if (home / place).is_dir() else ()
        for each in sorted(folders):
            if (each / file).is_file():
                yield kind, each, file


def _line(work: Work, kind: StoredKind, folder: Path, file: str) -> StoredLine:
    said, unread = _description(folder / file)
    ours, refused = _ours(work, folder) if kind == "bento" else (None, ALONE)
    texts = {str(name): cut(str(value), TEXT_CHARS) for name, value in _mapping(said.get("labels")).items()}
    return StoredLine(
        name=f"{kind}:{folder.parent.name}:{folder.name}",
        kind=kind,
        ours=ours is not None or (kind == "model" and texts.get("made_by") == PROJECT),
        model=ours.spec.model_handle if ours else None,
        service=cut(str(said.get("service") or said.get("module") or ""), TEXT_CHARS),
        created=cut(str(said.get("creation_time") or ""), TEXT_CHARS),
        labels=fit(texts, LABELS_CHARS),
        deployable=not (refused or unread),
        why=unread or refused or None,
    )


def _ours(work: Work, folder: Path) -> tuple[Bento | None, str]:
    """A bento of ours, and why it cannot be deployed, or nothing."""
    try:
        found = packaged_in(folder)
    except ValidationError as error:
        return None, f"its spec.json cannot be read: {type(error).__name__}"
    return (found, damage_of(work, found)) if found else (None, NOT_OURS)


def _description(file: Path) -> tuple[dict[str, Any], str]:
    """What a file of BentoML says, or why it says nothing."""
    try:
        if file.stat().st_size > MAX_BYTES:
            return {}, f"its {file.name} has more than {MAX_BYTES} bytes"
        return _mapping(parse(decoded(file.read_bytes(), file), file.name)), ""
    except (OSError, SettingsError) as error:
        return {}, f"its {file.name} cannot be read: {type(error).__name__}"


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
