"""`${VAR}` and `${VAR:-default}` in the user's file; a secret of a service expands for that service alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import SettingsError

REFERENCE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
# Parts of a variable's name, between underscores, that say it holds a secret; and a password inside of an address.
SECRET_PART = re.compile(
    r"(?i)(^|_)(key|jwt|pat|pwd?|pass|auth|sas|dsn|bearer|\w*(api|access|account|private)key"
    r"|\w*(secret|token|passw(or)?d|passwd|passphrase|credential|authorization|cookie|signature))s?\d*($|_)"
)
PASSWORD = re.compile(r"://[^/?#\s@]*:[^/?#\s@]+@")
# Variables of services that keep to themselves, whatever they are called after that.
CLOUDS = ("AWS_", "AZURE_", "ARM_", "GOOGLE_", "GCP_", "GCLOUD_", "GITHUB_", "GITLAB_", "HF_", "OPENAI_", "ANTHROPIC_")
DATABASES = ("PG", "POSTGRES", "DB_", "DATABASE_", "SQL", "DUCKDB_", "MOTHERDUCK_")
# Setting -> how the variables begin that may say it. What stands in no line takes no secret of anybody.
MEANT_FOR: Mapping[str, tuple[str, ...]] = {
    "opik.": ("OPIK_", "COMET_"),
    "mlflow.tracking_uri": ("MLFLOW_", "DATABRICKS_", *DATABASES),
    "mlflow.artifact_root": ("MLFLOW_", "AWS_", "AZURE_", "GOOGLE_", "GCP_"),
    "optuna.study_storage": ("OPTUNA_", *DATABASES),
    "optuna.mlflow_tracking_uri": ("MLFLOW_", "DATABRICKS_", *DATABASES),
    "runtime.job_store": ("JOB_", "JOBS_", *DATABASES),
    "runtime.scheduler": ("DASK_",),
    "storage.database": ("STORAGE_", *DATABASES),
    "data.sources.": DATABASES,
}


@dataclass(frozen=True)
class Expansion:
    """Of the values of one file, by the variables of this process."""

    env: Mapping[str, str]
    origin: str
    absent: list[str] = field(default_factory=list[str])
    """What was left out, in words."""

    def of(self, value: Any, key: str) -> Any:
        """The value with its references replaced; one that is nothing but an unset reference is absent (None).

        Args:
            key: the setting that has it, with dots; those of mappings go on with the name inside of it.

        Raises:
            SettingsError: a variable is not set, or is a secret that belongs elsewhere.
        """
        if isinstance(value, dict):
            expanded = {name: self.of(item, f"{key}.{name}") for name, item in value.items()}
            return {name: item for name, item in expanded.items() if item is not None}
        if isinstance(value, list):
            return [self.of(item, key) for item in value]
        if not isinstance(value, str):
            return value
        whole = REFERENCE.fullmatch(value)
        if whole and whole["default"] is None and whole["name"] not in self.env:
            self.absent.append(f"{key} in {self.origin} is left out, since ${{{whole['name']}}} is not set")
            return None
        return REFERENCE.sub(lambda match: self._found(match, key), value)

    def _found(self, match: re.Match[str], key: str) -> str:
        name, default = match["name"], match["default"]
        where = f"{key} in {self.origin}"
        if name not in self.env and default is None:
            raise SettingsError(
                f"{where} refers to ${{{name}}}, which is not set: set it or write ${{{name}:-default}}"
            )
        given = self.env.get(name, "")
        if given and not _fits(name, given, key):
            wanted = ", ".join(f"{each}…" for each in _beginnings(key))
            hint = f"secrets there come from {wanted}" if wanted else "no secret goes there"
            raise SettingsError(f"{where} refers to ${{{name}}}, which is not meant for it: {hint}")
        return given or default or ""


def _fits(name: str, value: str, key: str) -> bool:
    secret = name.upper().startswith(CLOUDS) or SECRET_PART.search(name) or PASSWORD.search(value)
    return not secret or name.upper().startswith(_beginnings(key))


def _beginnings(key: str) -> tuple[str, ...]:
    meant = next((names for setting, names in MEANT_FOR.items() if key.startswith(setting)), ())
    source = key.removeprefix("data.sources.")
    # A database of the user's own is called as they like, and so are its variables.
    own = (f"{re.sub(r'[^A-Za-z0-9]', '_', source).upper()}_",) if source != key and source else ()
    return (*own, *meant)
