"""Keeps this state folder in step with others: what they made is there before a call, what it made theirs after it.

Without `storage` in the settings nothing of this happens.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from ...config.settings import Settings
from ..errors import ToolFailure, require
from ..locks import locked
from ..storage.errors import StorageError
from ..storage.state_files import private_folder
from .catalogue import MOST, Catalogue, DecisionEntry, EdgeEntry, Entry, Published
from .contents import Contents, contents_of
from .copies import ALWAYS, INLINE, Copies, Known, digest
from .decided import decided_in
from .edges import UNASKED, edges_of
from .outbox import Outbox

LOCK, PATIENCE_S, BUSY = "replica.lock", 60.0, "what other servers have made is being fetched"
AGAIN_S = 1.0
# Cards of the same content: whichever server was first, they say the same.
CARDS = "datasets/"
FILES, EDGES, DECISIONS = "files", "edges", "decisions"
# Rows of our own tables, each with the number of its change.
R = TypeVar("R", EdgeEntry, DecisionEntry)

logger = logging.getLogger(__name__)


def is_shared(settings: Settings) -> bool:
    return bool(settings.storage.files)


def installation(settings: Settings) -> str:
    """A name of what the servers share, the same for all of them."""
    return uuid.uuid5(uuid.NAMESPACE_URL, settings.storage.files.rstrip("/")).hex


@contextmanager
def in_step(settings: Settings, patience_s: float = 0.0, bears_until: float = 0.0) -> Generator[None]:
    """What others have made is there as the body begins; what it makes is theirs once it has ended.

    Args:
        patience_s: how long to wait, before and after, for a database or file store that does not answer.
        bears_until: until when a caller waits for it in any case, by the clock of `time.monotonic`.

    Raises:
        ToolFailure: another server has changed the same at the same time.
        StorageError: one of both does not answer.
    """
    if not is_shared(settings):
        yield
        return
    began = time.time()
    with _replica(settings) as replica:
        _patiently(replica.fetch, max(bears_until, time.monotonic() + patience_s))
    yield
    with _replica(settings) as replica:
        _patiently(replica.publish, max(bears_until, time.monotonic() + patience_s))
        replica.require_kept(began)


def fetch(settings: Settings) -> None:
    """Take over what others have made by now. Raises StorageError."""
    if is_shared(settings):
        with _replica(settings) as replica:
            replica.fetch()


def bring(settings: Settings, path: Path) -> Path:
    """A file, or all files of a folder, that others have made and that is larger than what is fetched unasked.

    Raises:
        ToolFailure: it was deleted meanwhile.
        StorageError: the file store does not answer.
    """
    if is_shared(settings) and not path.is_file():
        with _replica(settings) as replica:
            replica.bring(path)
    return path


def released(settings: Settings, paths: Iterable[Path]) -> None:
    """Files, or folders of them, are deleted on purpose, whether they were ever fetched or not: they go everywhere."""
    ours = [path for path in paths if is_shared(settings) and path.is_relative_to(settings.home)]
    if ours:
        with _replica(settings) as replica:
            replica.release(ours)


@contextmanager
def _replica(settings: Settings) -> Generator[Replica]:
    require("psycopg")
    catalogue = Catalogue(settings.storage.database.get_secret_value(), installation(settings))
    try:
        yield Replica(settings, catalogue)
    finally:
        catalogue.close()


def _patiently(step: Callable[[], object], deadline: float) -> None:
    """Work of hours is not lost because a server was started again."""
    while True:
        try:
            step()
        except StorageError as error:
            if error.kind != "away" or time.monotonic() >= deadline:
                raise
            logger.warning("%s", error)
            time.sleep(AGAIN_S)
        else:
            return


def _publish_rows(outbox: Outbox[R], publish: Callable[[Sequence[R]], None]) -> None:
    rows, last = outbox.waiting()
    for start in range(0, len(rows), MOST):
        publish(rows[start : start + MOST])
    if last:
        outbox.sent(last)


class Replica:
    """One look at, or change of, what is shared; blocking."""

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._copies = Copies(settings.home)
        self._edges = edges_of(settings.home)
        self._decided = decided_in(settings.home)
        self._opened: Contents | None = None

    @property
    def _contents(self) -> Contents:
        if self._opened is None:
            self._opened = contents_of(self._settings.storage)
        return self._opened

    def fetch(self) -> None:
        """Take over what others have published since the last time."""
        with self._alone():
            self._fetch_files()
            self._fetch_rows(EDGES, self._catalogue.edges_after, self._edges)
            self._fetch_rows(DECISIONS, self._catalogue.decisions_after, self._decided)

    def publish(self) -> None:
        """Publish what is new here; a server that is read-only has nothing."""
        if self._settings.server.read_only:
            return
        changed = self._changed()
        for start in range(0, len(changed), MOST):
            self._publish_files(changed[start : start + MOST])
        _publish_rows(self._edges, partial(self._catalogue.publish_edges, unasked=UNASKED))
        _publish_rows(self._decided, self._catalogue.publish_decisions)

    def require_kept(self, since: float) -> None:
        """Raises ToolFailure if something of this server has given way to another's since a moment."""
        if lost := self._copies.lost_since(since):
            raise ToolFailure(
                f"another server has changed {', '.join(lost[:3])} at the same time", "Look at it, then try again."
            )

    def bring(self, path: Path) -> None:
        name = self._name(path)
        for each, known in self._copies.known_at(name).items():
            if not known.here:
                with self._alone():
                    if not self._copies.known_at(each)[each].here:
                        entry = Entry(each, known.sha256, known.size, known.mtime, change=known.change)
                        self._copies.note({each: self._get(entry)})

    def release(self, paths: Iterable[Path]) -> None:
        for path in paths:
            known = self._copies.known_at(self._name(path))
            self._copies.note({name: replace(each, released=True) for name, each in known.items()})

    @contextmanager
    def _alone(self) -> Generator[None]:
        with locked(private_folder(self._settings.home) / LOCK, PATIENCE_S, BUSY, "Try again."):
            yield

    def _name(self, path: Path) -> str:
        return path.relative_to(self._settings.home).as_posix()

    def _fetch_files(self) -> None:
        while entries := self._catalogue.files_after(self._copies.seen(FILES)):
            known, notes = self._copies.known(), dict[str, Known | None]()
            for entry in entries:
                if self._copies.is_ours(entry.path):
                    notes |= self._take(entry, known.get(entry.path))
                else:
                    logger.warning("the shared state names %r, which is not shared: left out", entry.path)
            self._copies.note(notes)
            self._copies.set_seen(FILES, entries[-1].change)

    def _fetch_rows(self, what: str, after: Callable[[int], list[R]], outbox: Outbox[R]) -> None:
        while entries := after(self._copies.seen(what)):
            outbox.add(entries)
            self._copies.set_seen(what, entries[-1].change)

    def _take(self, entry: Entry, known: Known | None) -> dict[str, Known | None]:
        """What is known of it then. What was changed here stays until it is published, or has to give way then."""
        if self._is_changed_here(entry, known) or (known and known.change >= entry.change):
            return {}
        if entry.gone:
            self._copies.take_away(entry.path)
            return {entry.path: None}
        if known and known.sha256 == entry.sha256:
            return {entry.path: replace(known, change=entry.change)}
        return {entry.path: self._put(entry)}

    def _is_changed_here(self, entry: Entry, known: Known | None) -> bool:
        try:
            found = (self._settings.home / entry.path).lstat()
        except OSError:
            return known is not None and known.here and not entry.gone
        return known is None or not known.fits(found)

    def _put(self, entry: Entry) -> Known:
        if entry.content is not None:
            if hashlib.sha256(entry.content).hexdigest() != entry.sha256:
                raise StorageError(f"{entry.path} in storage.database is not what was stored there")
            return self._copies.place(entry, entry.content)
        if entry.path.endswith(ALWAYS):
            return self._get(entry)
        self._copies.take_away(entry.path)
        private_folder((self._settings.home / entry.path).parent)
        return Known(entry.sha256, entry.size, entry.mtime, entry.change, here=False)

    def _get(self, entry: Entry) -> Known:
        """Fetch a content, and look whether it is what was published."""
        draft = private_folder(self._settings.home / "queries") / f".far.{uuid.uuid4().hex}"
        try:
            if not self._contents.get(entry.sha256, draft):
                raise ToolFailure(f"{entry.path} is gone", "Another server has deleted it.")
            if digest(draft) != entry.sha256:
                raise StorageError(f"{entry.path} in {self._settings.storage.files} is not what was stored there")
            return self._copies.place(entry, draft)
        finally:
            draft.unlink(missing_ok=True)

    def _changed(self) -> list[tuple[Entry, int]]:
        """Each file that is new, other than it was, or gone, with the number of its last known change."""
        known, found = self._copies.known(), dict(self._copies.files())
        changed = [
            (entry, before.change if before else 0)
            for path, facts in found.items()
            if not ((before := known.get(path)) and before.here and before.fits(facts))
            and (entry := self._described(path, facts, before))
        ]
        missing = {path: known[path] for path in known.keys() - found.keys()}
        changed += [
            (Entry(path, each.sha256, each.size, each.mtime, gone=True), each.change)
            for path, each in missing.items()
            if each.released
        ]
        self._restore([path for path, each in missing.items() if each.here and not each.released])
        return changed

    def _restore(self, paths: list[str]) -> None:
        with self._alone():
            self._copies.note({entry.path: self._put(entry) for entry in self._catalogue.files_at(paths)})

    def _described(self, path: str, facts: os.stat_result, before: Known | None) -> Entry | None:
        """None for a file that is still being written: whoever does publishes it."""
        file = self._settings.home / path
        with contextlib.suppress(FileNotFoundError):
            sha256 = digest(file)
            content = file.read_bytes() if facts.st_size <= INLINE else None
            if content is None and not (before and before.sha256 == sha256):
                self._contents.put(sha256, file)
            now = file.lstat()
            if (now.st_size, now.st_mtime_ns) == (facts.st_size, facts.st_mtime_ns):
                return Entry(path, sha256, facts.st_size, facts.st_mtime_ns, content=content)
        return None

    def _publish_files(self, changed: list[tuple[Entry, int]]) -> None:
        first = {entry.path for entry, _ in changed if entry.path.startswith(CARDS)}
        made = self._catalogue.publish(changed, first)
        with self._alone():
            self._note(changed, made)
            self._copies.note({there.path: self._put(there) for there in made.others.values()})
        for entry, _ in changed:
            # Between its upload and its row another server may have deleted the last row of the same content.
            if entry.path in made.changes and not (entry.gone or entry.content or self._contents.has(entry.sha256)):
                self._contents.put(entry.sha256, self._settings.home / entry.path)
        if given_way := made.others.keys() - made.changes.keys():
            self._copies.note_lost(given_way)
        for sha256 in made.unreferenced:
            with self._catalogue.alone() as db:
                if self._catalogue.unused(sha256, db):
                    self._contents.drop(sha256)

    def _note(self, changed: list[tuple[Entry, int]], made: Published) -> None:
        notes: dict[str, Known | None] = {}
        for entry, _ in changed:
            if (change := made.changes.get(entry.path)) is not None:
                kept = Known(entry.sha256, entry.size, entry.mtime, change, here=True)
                notes[entry.path] = None if entry.gone else kept
        self._copies.note(notes)
