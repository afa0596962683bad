"""`mlops-mcp backup` and `restore`: the state folder as one file, made while servers and jobs use it."""

from __future__ import annotations

import hmac
import os
import shutil
import sys
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from ..config.settings import Settings
from ..tools.distributions import PROJECT
from ..tools.errors import ToolFailure
from ..tools.locks import locked
from ..tools.modeling import sealed
from ..tools.runtime.jobs import alive
from ..tools.storage.archive import Manifest, links, pack, read_manifest, unpack
from ..tools.storage.state_files import own_folder
from ..tools.tracing.redaction import redact

# Copies of what lies elsewhere, and what endpoints write while they run.
RESTORING, BEFORE = ".restoring-", ".before-"
SKIPPED = ("cache/*", "endpoints/*/*", "proxy/*", f"{RESTORING}*", f"{BEFORE}*")
PATIENCE_S = 60.0
PURPOSE = "backup"


def backup(settings: Settings, file: str, force: bool) -> int:
    """Write the state folder to a file, which holds its secret key and tokens; the exit code is 2 when that fails."""
    return told(lambda: written(settings, Path(file).absolute(), force))


def restore(settings: Settings, file: str, force: bool, foreign: bool = False) -> int:
    """Fill the state folder from a backup; the exit code is 2 when that fails.

    Then nothing has changed, or it is said what lies elsewhere now.

    Args:
        foreign: take also what the installation that is here cannot have written, or is not known to have.
    """
    return told(lambda: _restore(settings, Path(file).absolute(), force, foreign))


def told(run: Callable[[], list[str]]) -> int:
    try:
        print("\n".join(run()))
    except (ToolFailure, OSError) as error:
        print(f"mlops-mcp: {redact(str(error))}", file=sys.stderr)
        return 2
    return 0


def written(settings: Settings, target: Path, force: bool) -> list[str]:
    """Write the state folder to a file; what is said of it. Raises ToolFailure or OSError."""
    home = settings.home.resolve()
    if not home.is_dir():
        raise ToolFailure(f"there is no state folder {home}", "Name it with --home.")
    if target.resolve().is_relative_to(home):
        raise ToolFailure(f"{target} lies in the state folder", "Write it elsewhere, best to another disk.")
    if target.exists() and not force:
        raise ToolFailure(f"{target} exists", "Choose another name, or pass --force to replace it.")
    sealed.of_bytes(home, b"", PURPOSE)  # so that there is a key, which is part of the backup
    # What the databases name by then stays until its files are copied.
    with locked(home / "upkeep.lock", PATIENCE_S, "something is being deleted"):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        made = pack(home, target, version(PROJECT), now, SKIPPED, lambda content: _seal(home, content))
    kept = f"{len(made.files)} files, {made.bytes / 1e6:.1f} MB of {home} in {target}"
    return [kept, "Whoever has this file has the secret key and the tokens in it.", *_elsewhere(settings, home)]


def _elsewhere(settings: Settings, home: Path) -> list[str]:
    """What the configuration and links keep outside of the folder."""
    places = {
        "MLflow": settings.tracking_uri, "artifacts": settings.artifact_root, "studies": settings.study_storage,
        "features": str(settings.feast_home), "suites": str(settings.gx_home), "bentos": str(settings.bentoml_home),
        "jobs": settings.job_store, "what servers share": settings.storage.database.get_secret_value(),
        "shared files": settings.storage.files,
    }  # fmt: skip
    inside = (str(home), str(settings.home), f"sqlite:///{home}", f"sqlite:///{settings.home}", f"file://{home}")
    outside = [(what, place) for what, place in places.items() if place and not place.startswith(inside)]
    for link in links(home, SKIPPED):
        with suppress(OSError):  # it went meanwhile
            outside.append((str(link.relative_to(home)), str(link.readlink())))
    said = [f"Not part of it: {what} at {redact(place)}" for what, place in outside]
    return [each.encode(errors="replace").decode() for each in said]  # names of files may be no text


def _seal(home: Path, content: bytes) -> str:
    return sealed.of_bytes(home, content, PURPOSE)


def _restore(settings: Settings, archive: Path, force: bool, foreign: bool) -> list[str]:
    home, held = settings.home.resolve(), read_manifest(archive)
    _require_fit(home, held)
    if not foreign:
        _require_own(home, held)
    own_folder(settings.home.absolute())
    for left in home.glob(f"{RESTORING}*"):
        shutil.rmtree(left)
    present = [each for each in home.iterdir() if not each.name.startswith(BEFORE)]
    if present and not force:
        raise ToolFailure(f"{home} is not empty", "Pass --force to set what is in it aside, or name another --home.")
    require_unused(home, "restore")
    draft = home / f"{RESTORING}{uuid.uuid4().hex}"
    draft.mkdir(mode=0o700)
    try:
        if unpack(archive, draft) != held:
            raise ToolFailure(f"{archive} is another one by now", "Nothing was restored. Copy it to where it stays.")
        aside = _exchanged(home, draft, present)
    finally:
        shutil.rmtree(draft)
    return [f"{len(held.files)} files, {held.bytes / 1e6:.1f} MB, as of {held.created}, are in {home}", *aside]


def _require_fit(home: Path, held: Manifest) -> None:
    here = version(PROJECT)
    if held.version != here:
        print(f"This backup was made by mlops-mcp {held.version}; this is {here}.", file=sys.stderr)
    if str(home) != held.home:
        raise ToolFailure(
            f"this is a backup of {held.home}, and MLflow's store in it names the files by that path",
            f"Restore it there: mlops-mcp --home {held.home} restore …",
        )


def _require_own(home: Path, held: Manifest) -> None:
    """Refuse what decides whose tokens hold and what is run, unless this installation has written it.

    The key that tells lies in the folder, and in the backup of it as well: without the one here, as on a new machine,
    a backup could only vouch for itself.
    """
    if sealed.has_key(home) and hmac.compare_digest(_seal(home, held.sealed), held.seal):
        return
    why = (
        "this installation did not write it" if sealed.has_key(home) else f"{home} holds no key that could tell who has"
    )
    raise ToolFailure(
        f"whoever wrote a backup decides what is run and who is let in, and {why}",
        "If you know where it has been since, pass --foreign.",
    )


def require_unused(home: Path, then: str) -> None:
    """A server would go on with the files that it has open; of one in another container only its lock is seen."""
    for lock in (*home.glob("servers/*.lock"), *home.glob("jobs/*.lock")):
        if alive.held(lock):
            raise ToolFailure(f"a server or a job holds {lock}", f"End it, and the endpoints, then {then} again.")
    for process in psutil.process_iter():
        try:
            used = process.pid != os.getpid() and any(
                Path(each.path).is_relative_to(home) for each in process.open_files()
            )
        except (psutil.Error, OSError):
            continue
        if used:
            raise ToolFailure(f"process {process.pid} uses {home}", f"End it, and the endpoints, then {then} again.")


def _exchanged(home: Path, draft: Path, present: list[Path]) -> list[str]:
    """Set aside what is present and put in its place what the draft holds, all of it or nothing."""
    aside = home / f"{BEFORE}{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    moves = [(each, aside / each.name) for each in present]
    moves += [(each, home / each.name) for each in draft.iterdir()]
    aside.mkdir(mode=0o700)
    try:
        _move(moves)
    finally:
        with suppress(OSError):  # something is in it
            aside.rmdir()
    return [f"What was there is in {aside}"] if present else []


def _move(moves: list[tuple[Path, Path]]) -> None:
    """All of them or none.

    Raises:
        ToolFailure: one failed; those before it are undone, or named.
    """
    stuck: list[str] = []
    try:
        with ExitStack() as back:
            for source, target in moves:
                source.rename(target)
                back.callback(_take_back, source, target, stuck)
            back.pop_all()
    except OSError as error:
        where = f"Not back where it was: {', '.join(stuck)}." if stuck else "Nothing has changed."
        raise ToolFailure(f"the state folder cannot be replaced: {error}", where) from error


def _take_back(source: Path, target: Path, stuck: list[str]) -> None:
    try:
        target.rename(source)
    except OSError:
        stuck.append(str(target))
