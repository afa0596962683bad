"""The Great Expectations project of a team, where `great_expectations.context_root` names one.

Its suites are read and never changed; ours are written beside them, in the form in which the library reads them
(great_expectations.data_context.store.ExpectationsStore).
"""

from __future__ import annotations

import contextlib
import json
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, JsonValue

from ..errors import ToolFailure
from ..storage.state_files import replaced
from .models import Expectation, Severity, StoredSuite
from .rules import checked

CONFIGURATION, SUITES = "great_expectations.yml", "expectations"
# In the `meta` of a suite that was written here.
MARK = "mlops_mcp"
MOST_BYTES = 1_000_000


class Rule(BaseModel):
    type: str
    kwargs: dict[str, JsonValue]
    severity: Severity | None = None


class Suite(BaseModel):
    expectations: list[Rule]
    meta: dict[str, JsonValue] | None = None


class Project:
    """The suites below a project's folder; there are none where the folder is no project."""

    def __init__(self, root: Path) -> None:
        self._folder = root / SUITES if (root / CONFIGURATION).is_file() else None

    def names(self) -> list[str]:
        """Of the team's own suites; in the library too a name with slashes is a file in folders."""
        if self._folder is None:
            return []
        files = (path for path in self._folder.rglob("*.json") if not _is_ours(path))
        return sorted(path.relative_to(self._folder).with_suffix("").as_posix() for path in files)

    def read(self, name: str) -> StoredSuite | None:
        """One of theirs, as the only version that there is.

        Raises:
            ToolFailure: it is damaged, or has rules that `create_suite` would refuse.
        """
        if self._folder is None or name not in self.names():
            return None
        try:
            rules = checked([_rule(rule) for rule in _suite(self._folder / f"{name}.json").expectations])
        except (OSError, ValueError) as error:
            said = " ".join(str(error).split())[:200]
            raise ToolFailure(f"{name}.json of the project is damaged: {said}", "Mend the file.") from error
        except ToolFailure as failure:
            hint = f"Its other rules work in a suite of another name. {failure.hint}"
            raise ToolFailure(f"suite:{name} of the project is not used: {failure.message}", hint) from failure
        return StoredSuite(name=name, version=1, created="", expectations=rules)

    def require_ours(self, name: str) -> None:
        """Raises ToolFailure for a suite that the team has made."""
        if name in self.names():
            raise ToolFailure(
                f"suite:{name} belongs to the Great Expectations project, which is not changed",
                "Use another name; get_suite shows its rules.",
            )

    def publish(self, suite: StoredSuite) -> None:
        """Show the newest version of a suite of ours to whoever opens the project."""
        if self._folder is not None:
            text = json.dumps(_written(suite), indent=2, sort_keys=True)
            replaced(self._folder / f"{suite.name}.json", text.encode())

    def withdraw(self, name: str) -> None:
        """Take a suite of ours away that is gone."""
        if self._folder is not None and _is_ours(path := self._folder / f"{name}.json"):
            path.unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return MARK in (_suite(path).meta or {})
    return False


def _suite(path: Path) -> Suite:
    """Raises OSError or ValueError for what is no suite."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes")
    return Suite.model_validate_json(data)


def _rule(rule: Rule) -> Expectation:
    """What the library writes out that says nothing is left out."""
    kwargs: dict[str, JsonValue] = {
        name: value for name, value in rule.kwargs.items() if value is not None and name != "condition_parser"
    }
    return Expectation(type=rule.type, kwargs=kwargs, severity=rule.severity or "critical")


def _written(suite: StoredSuite) -> dict[str, JsonValue]:
    """The same suite always has the same identity, as the library asks for one."""
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"mlops-mcp:{suite.name}")
    rules: list[JsonValue] = [
        {**rule.model_dump(mode="json"), "id": str(uuid.uuid5(identity, str(position))), "meta": {}}
        for position, rule in enumerate(suite.expectations)
    ]
    meta: dict[str, JsonValue] = {MARK: suite.version}
    with contextlib.suppress(PackageNotFoundError):
        meta["great_expectations_version"] = version("great_expectations")
    return {"name": suite.name, "id": str(identity), "expectations": rules, "meta": meta, "notes": None}
