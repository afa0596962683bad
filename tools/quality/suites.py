"""Suites as our own JSON: every change is a new version, and no version is ever rewritten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...config.settings import Settings
from ..errors import ToolFailure, unknown
from ..handles import parse
from ..storage.state_files import written_once
from .builtin import suite_of
from .models import Expectation, StoredSuite
from .project import Project
from .rules import checked

COLUMN_KEYS = ("column", "column_A", "column_B")


class SuiteStore:
    """The suites of an installation; the built-in ones, and a project's own, are among them as their version 1."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.gx_home / "suites"
        self._project = Project(settings.gx_home)
        self._defaults = settings.great_expectations.default_suites

    def names(self) -> list[str]:
        stored = {folder.name for folder in self._folder.iterdir()} if self._folder.is_dir() else set[str]()
        builtin = {name for kind, name in self._defaults.items() if suite_of(kind) is not None}
        return sorted(stored | builtin | set(self._project.names()))

    def default(self, task: str) -> str:
        """The configured name for a problem type.

        Raises:
            ToolFailure: the setting has no suite for it.
        """
        if task not in self._defaults:
            raise unknown("task", task, self._defaults, "Setting great_expectations.default_suites.")
        return self._defaults[task]

    def latest(self, name: str) -> StoredSuite | None:
        versions = self._versions(name)
        return _read(versions[-1]) if versions else self._given(name)

    def latest_of_ours(self, name: str) -> StoredSuite | None:
        """The version that a new one replaces.

        Raises:
            ToolFailure: the name is that of a suite of a project's own.
        """
        self._project.require_ours(name)
        return self.latest(name)

    def get(self, text: str) -> StoredSuite:
        """The suite behind `suite:<name>`, a bare name, or `suite:<name>@<version>`.

        Raises:
            ToolFailure: there is no such suite or version.
        """
        wanted = parse(text, "suite")
        newest = self.latest(wanted.name) if wanted.name in self.names() else None
        if newest is None:
            raise unknown("suite", text, self.names(), "create_suite makes one, list_suites shows all.")
        if not wanted.version or wanted.version == str(newest.version):
            return newest
        older = {str(suite.version): suite for suite in self._all(wanted.name)}
        if wanted.version not in older:
            raise unknown(f"version of suite:{wanted.name}", wanted.version, older)
        return older[wanted.version]

    def add(self, name: str, expectations: Sequence[Expectation]) -> StoredSuite:
        """Store a new version; the same rules as the newest version's are that version.

        Raises:
            ToolFailure: the name is that of a suite of a project's own.
        """
        newest = self.latest_of_ours(name)
        if newest and newest.expectations == list(expectations):
            return newest
        suite = StoredSuite(
            name=name,
            version=newest.version + 1 if newest else 1,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            expectations=list(expectations),
        )
        # Two writers at once: the second finds the number taken and stores the next one.
        if not _place(self._folder / name, suite):
            return self.add(name, expectations)
        self._project.publish(suite)
        return suite

    def gone(self, name: str) -> None:
        """Versions of a suite were deleted: whoever reads the project sees what is left."""
        if versions := self._versions(name):
            self._project.publish(_read(versions[-1]))
        else:
            self._project.withdraw(name)

    def files(self, name: str) -> dict[int, Path]:
        """Version -> file, of those that are stored; a built-in one is not."""
        return {int(path.stem): path for path in self._versions(name)}

    def _versions(self, name: str) -> list[Path]:
        return sorted((self._folder / name).glob("[0-9]*.json"))

    def _all(self, name: str) -> Iterator[StoredSuite]:
        if given := self._given(name):
            yield given
        yield from map(_read, self._versions(name))

    def _given(self, name: str) -> StoredSuite | None:
        return self._project.read(name) or self._builtin(name)

    def _builtin(self, name: str) -> StoredSuite | None:
        for kind, configured in self._defaults.items():
            if configured == name and (rules := suite_of(kind)) is not None:
                return StoredSuite(name=name, version=1, created="", expectations=rules)
        return None


def columns_of(rule: Expectation) -> list[str]:
    """The columns whose values a rule reads."""
    named = [rule.kwargs[key] for key in COLUMN_KEYS if key in rule.kwargs]
    several = rule.kwargs.get("column_list")
    listed = several if isinstance(several, list) and not rule.type.startswith("expect_table_") else []
    return [str(name) for name in [*named, *listed]]


def renamed(kwargs: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The kwargs of a rule with other names of its columns."""
    found = {key: names.get(kwargs[key], kwargs[key]) for key in COLUMN_KEYS if key in kwargs}
    listed = (
        {"column_list": [names.get(name, name) for name in kwargs["column_list"]]} if "column_list" in kwargs else {}
    )
    return {**kwargs, **found, **(listed if names else {})}


def _read(path: Path) -> StoredSuite:
    """A version as `create_suite` would store it: the file may be another's, and its rules are about to be run.

    Raises:
        ToolFailure: it is damaged, says that it is another suite, or holds rules that `create_suite` refuses.
    """
    name = f"suite:{path.parent.name}@{path.stem.lstrip('0')}"
    hint = f"delete(handle='{name}') takes it away, then create_suite makes it again."
    try:
        stored = StoredSuite.model_validate_json(path.read_bytes())
        if (stored.name, f"{stored.version:06d}") != (path.parent.name, path.stem):
            raise ToolFailure(f"it says that it is suite:{stored.name}@{stored.version}", hint)
        return stored.model_copy(update={"expectations": checked(stored.expectations)})
    except ValueError as error:
        raise ToolFailure(f"the stored {name} is damaged: {error}", hint) from error
    except ToolFailure as failure:
        raise ToolFailure(f"the stored {name} is not used: {failure.message}", hint) from failure


def _place(folder: Path, suite: StoredSuite) -> bool:
    """Store a version; whether this is the one that has its number."""
    text = suite.model_dump_json(indent=1)
    return written_once(folder / f"{suite.version:06d}.json", text) == text
