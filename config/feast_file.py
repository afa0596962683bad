"""The file that marks a Feast repository of a team, and the variables that it names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .document import decoded, read
from .errors import SettingsError
from .settings import Settings

# Repositories of `feast init` have it; our own store has none.
FILE = "feature_store.yaml"
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)


def is_repository(settings: Settings) -> bool:
    """Whether the features lie in a repository that has a configuration of its own."""
    return "://" not in settings.feast.repo_path and (settings.feast_home / FILE).is_file()


def is_read_only(settings: Settings) -> bool:
    """Whether it is one that nobody has allowed us to write."""
    return is_repository(settings) and not settings.feast.write_repository


def named_variables(settings: Settings) -> tuple[str, ...]:
    """Those that the file takes from the environment; none where it cannot be read, which its reader tells."""
    if not is_repository(settings):
        return ()
    file = settings.feast_home / FILE
    try:
        return variables_in(decoded(read(file), file))
    except SettingsError:
        return ()


def variables_in(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(braced or plain for braced, plain in VARIABLE.findall(text)))


def expanded(text: str, environ: Mapping[str, str]) -> str:
    """The text as Feast reads it: a variable that is not set stays as it is."""
    return VARIABLE.sub(lambda found: environ.get(found[1] or found[2], found[0]), text)
