"""Settings that follow the user's file while a process runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from .errors import SettingsError
from .load import Loaded, load, user_file
from .settings import Settings

Stamp = tuple[int, int, int]

logger = logging.getLogger(__name__)


class Watch:
    """Starts with the settings of the process and reads the file again when it has changed."""

    def __init__(self, settings: Settings, environ: Mapping[str, str] | None = None) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        self._path = user_file(self._environ).absolute()
        self._settings = settings
        self._stamp = self._look()

    def changed(self) -> bool:
        """Whether the file is another one than when it was last read; one look at its folder entry."""
        return self._look() != self._stamp

    def current(self) -> Settings:
        """The settings as of now; those before while the file cannot be used."""
        if self.changed():
            self._stamp = self._look()
            try:
                self._follow(load(self._environ, {"home": str(self._settings.home)}))
            except SettingsError as error:
                logger.warning("the changed settings are not used: %s", error)
        return self._settings

    def _follow(self, loaded: Loaded) -> None:
        if loaded.not_used:
            raise SettingsError(loaded.not_used)
        self._settings = loaded.settings

    def _look(self) -> Stamp | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
