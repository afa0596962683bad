"""Settings that follow the user's file while a process runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from .errors import SettingsError
from .load import Loaded, load, user_file
from .settings import Settings

Stamp = tuple[int, int, int, int]

logger = logging.getLogger(__name__)


class Watch:
    """Starts with the settings of the process and reads the file again when it has changed."""

    def __init__(self, settings: Settings, environ: Mapping[str, str] | None = None) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        self._path = user_file(self._environ).absolute()
        self._settings = settings
        self._stamp = stamp_of(self._path)

    def changed(self) -> bool:
        """Whether the file is another one than when it was last read; one look at its folder entry."""
        return stamp_of(self._path) != self._stamp

    def current(self) -> Settings:
        """The settings as of now; those before while the file cannot be used."""
        if self.changed():
            self._stamp = stamp_of(self._path)
            try:
                self._follow(load(self._environ, {"home": str(self._settings.home)}))
            except SettingsError as error:
                logger.warning("the changed settings are not used: %s", error)
        return self._settings

    def _follow(self, loaded: Loaded) -> None:
        if loaded.not_used:
            raise SettingsError(loaded.not_used)
        self._settings = loaded.settings


def stamp_of(path: Path) -> Stamp | None:
    """What a file has another of once anything has been done to it; None where there is none to be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
