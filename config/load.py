"""Fill the settings from four layers, each a flat mapping of dotted keys, and remember who set what."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from shlex import quote
from typing import Any

from pydantic import SecretStr, ValidationError

from .approval import approved
from .document import decoded, described, parse, read
from .errors import SettingsError
from .expansion import Expansion
from .section import Section
from .settings import Settings

# The variables that the libraries' own users already set.
VARIABLES: Mapping[str, str] = {
    "home": "MLOPS_HOME",
    "environment": "ENVIRONMENT",
    "mlflow.tracking_uri": "MLFLOW_TRACKING_URI",
    "mlflow.artifact_root": "MLFLOW_ARTIFACT_ROOT",
    "opik.url": "OPIK_URL_OVERRIDE",
    "opik.api_key": "OPIK_API_KEY",
    "opik.workspace": "OPIK_WORKSPACE",
    "opik.project_name": "OPIK_PROJECT_NAME",
    "opik.environment": "OPIK_ENVIRONMENT",
    "feast.repo_path": "FEAST_REPO_PATH",
    "bentoml.home": "BENTOML_HOME",
    "bentocloud.endpoint": "BENTO_CLOUD_API_ENDPOINT",
    "bentocloud.api_key": "BENTO_CLOUD_API_KEY",
}
CONFIG = "MLOPS_CONFIG"
# Ends the name of a variable that says in which file a value is.
IN_A_FILE = "_FILE"
# What processes of this package tell those that they start.
BETWEEN_PROCESSES = frozenset(
    (
        "MLOPS_PRELOAD", "MLOPS_TEMPLATE", "MLOPS_SHOWN",
        "MLOPS_JOB_MARK", "MLOPS_JOB_SETTINGS", "MLOPS_JOB_CLEANUP",
        "MLOPS_SHIPPER_SETTINGS",
        "MLOPS_ENDPOINT_HOME", "MLOPS_ENDPOINT_MARK", "MLOPS_ENDPOINT_REPLICAS", "MLOPS_ENDPOINT_HOSTS",
        "MLOPS_PROXY_SETTINGS",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Value:
    """A value as it was given, and by what."""

    value: Any = field(repr=False)  # it may be a secret
    origin: str


@dataclass(frozen=True)
class File:
    """The user's file as it was read, and whether it counts: it was named, or approved as it is."""

    path: Path
    content: bytes = field(repr=False)
    used: bool


@dataclass(frozen=True)
class Loaded:
    """The settings, and for each key the value and origin it was made of."""

    settings: Settings
    values: Mapping[str, Value]
    file: File | None = None
    absent: Sequence[str] = ()
    """Values of the file that refer to variables that are not set, in words."""

    @property
    def not_used(self) -> str:
        """What to say of a file of the working folder that nobody has approved; empty if there is none."""
        if self.file is None or self.file.used:
            return ""
        path = str(self.file.path.absolute())
        return f"{path} is not used: nobody has approved it as it is. Read it, then run mlops-mcp trust {quote(path)}"

    def report(self, clean: Callable[[str], str]) -> Iterator[tuple[str, str, str]]:
        """Key, effective value (secrets masked) and origin, in the order of the shipped file.

        Args:
            clean: takes out what is secret inside a value, such as the password of an address.
        """
        for key, value in self.values.items():
            shown = _leaf(self.settings, key)
            masked = ("********" if shown.get_secret_value() else "") if isinstance(shown, SecretStr) else shown
            yield key, clean(str(masked)), value.origin


def load(environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None) -> Loaded:
    """Merge shipped defaults < user file < environment < flags; an unapproved file of the working folder is left out.

    Raises:
        SettingsError: an unknown key, a value of the wrong type, an unreadable file or an unset variable.
    """
    env = os.environ if environ is None else environ
    defaults = dict(_flatten(parse(_shipped(), "the shipped settings"), Expansion(env, "default")))
    file = _user_file(env)
    expansion = Expansion(env, str(file.path) if file else "")
    layer = _file_layer(file, expansion, defaults)
    layers = [defaults, layer, _environment(env, defaults, layer), _flags(flags or {}, defaults)]
    values = {key: value for layer in layers for key, value in layer.items()}
    values["home"] = _home(values["home"])
    _require_one_mlflow(values)
    return Loaded(_validated(values), values, file, expansion.absent)


def _home(given: Value) -> Value:
    """Where state lies, from the root of the file system on."""
    if not isinstance(given.value, str | Path):
        raise SettingsError(f"home (set by {given.origin}) must be the path of a folder")
    try:
        home = Path(given.value or _platform_home()).expanduser().absolute()
    except (OSError, RuntimeError) as error:  # no such user, or a working directory that is gone
        raise SettingsError(f"home (set by {given.origin}) cannot be found: {error}") from error
    if strange := sorted(set(str(home)) & set("%?#\0")):
        shown = " ".join(strange).replace("\0", "NUL")
        raise SettingsError(f"home {home} holds {shown}, which database addresses cannot: choose another")
    return Value(home, given.origin)


def _shipped() -> str:
    return files(__package__ or "").joinpath("mlops.yaml").read_text(encoding="utf-8")


def _platform_home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("mlops-mcp", appauthor=False)


def user_file(env: Mapping[str, str]) -> Path:
    """Where the user's own settings lie, if there are any."""
    return Path(env.get(CONFIG) or "mlops.yaml")


def _user_file(env: Mapping[str, str]) -> File | None:
    path, named = user_file(env), bool(env.get(CONFIG))
    if not named and not os.path.isfile(path):
        return None
    try:
        content = read(path)
    except SettingsError:
        if named:
            raise
        return File(path, b"", used=False)  # whoever made the folder must not keep a server from starting either
    return File(path, content, used=named or approved(path, content))


def _file_layer(file: File | None, expansion: Expansion, known: Mapping[str, Value]) -> dict[str, Value]:
    if file is None or not file.used:
        return {}
    content = parse(decoded(file.content, file.path), described(file.path)) or {}
    if not isinstance(content, dict):
        raise SettingsError(f"{file.path} must hold sections such as `mlflow:`, not a {type(content).__name__}")
    layer = dict(_flatten(content, expansion))
    for key in layer:
        _require_known(key, known, str(file.path))
    return layer


def _flatten(node: Mapping[str, Any], expansion: Expansion, prefix: str = "") -> Iterator[tuple[str, Value]]:
    for name, child in node.items():
        key = f"{prefix}{name}"
        if isinstance(child, dict) and not prefix and _is_section(str(name)):
            yield from _flatten(child, expansion, f"{key}.")
        elif (value := expansion.of(child, key)) is not None:
            yield key, Value(value, expansion.origin)


def _is_section(name: str) -> bool:
    field = Settings.model_fields.get(name)
    return field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def _environment(env: Mapping[str, str], known: Mapping[str, Value], file: Mapping[str, Value]) -> dict[str, Value]:
    """What the variables set; an empty one takes back what the file says."""
    names = {f"MLOPS_{key.upper().replace('.', '__')}": key for key in known}
    env = _with_contents(env, {*names, *VARIABLES.values()} - {"ENVIRONMENT"})  # whose file could be anybody's
    for name in env:
        if name.startswith("MLOPS_") and name not in names and name not in BETWEEN_PROCESSES | {CONFIG}:
            _refuse(name, [*names, CONFIG], "the environment")
    given = {name: key for key, name in VARIABLES.items() if name in env} | {
        name: key for name, key in names.items() if name in env
    }
    emptied = {
        key: Value(known[key].value, f"default, since {name} is empty")
        for name, key in given.items()
        if not env[name] and key in file
    }
    return emptied | {key: Value(_typed(name, env[name], known[key]), name) for name, key in given.items() if env[name]}


def _with_contents(env: Mapping[str, str], names: Collection[str]) -> Mapping[str, str]:
    """The variables, with the text of a file for each `NAME_FILE`, as containers are given their secrets.

    Raises:
        SettingsError: the file cannot be read, or the variable itself is set too.
    """
    given = {name: f"{name}{IN_A_FILE}" for name in names if env.get(f"{name}{IN_A_FILE}")}
    if twice := [name for name in given if env.get(name)]:
        raise SettingsError(f"{twice[0]} and {given[twice[0]]} are both set: leave one of them out")
    plain = {name: text for name, text in env.items() if name.removesuffix(IN_A_FILE) not in names or name in names}
    return plain | {name: _content(file, Path(env[file])) for name, file in given.items()}


def from_file(env: Mapping[str, str], name: str) -> str:
    """A variable that is no setting, or the text of the file that `<name>_FILE` says; empty where neither is set.

    Raises:
        SettingsError: the file cannot be read, or both are set.
    """
    return _with_contents(env, [name]).get(name, "")


def _content(name: str, path: Path) -> str:
    try:
        return read(path).decode().strip()
    except (SettingsError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}: {error}") from error


def _typed(name: str, text: str, default: Value) -> Any:
    return text if isinstance(default.value, str | Path) else parse(text, name)


def _flags(flags: Mapping[str, Any], known: Mapping[str, Value]) -> dict[str, Value]:
    for key in flags:
        _require_known(key, known, "the command line")
    return {key: Value(value, "command line") for key, value in flags.items()}


def _require_known(key: str, known: Mapping[str, Value], where: str) -> None:
    if key not in known:
        _refuse(key, known, where)


def _refuse(key: str, known: Iterable[str], where: str) -> None:
    near = difflib.get_close_matches(key, list(known), n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"known keys: {', '.join(known)}"
    raise SettingsError(f"unknown setting {key} in {where}: {hint}")


def _require_one_mlflow(values: Mapping[str, Value]) -> None:
    """Trials are runs like all others, so the two keys that may say where runs go must agree."""
    trials, every = values["optuna.mlflow_tracking_uri"], values["mlflow.tracking_uri"]
    if trials.value and every.value and trials.value != every.value:
        raise SettingsError(
            f"optuna.mlflow_tracking_uri (set by {trials.origin}) is not mlflow.tracking_uri (set by {every.origin}): "
            "leave one of them out"
        )


def _validated(values: Mapping[str, Value]) -> Settings:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = value.value
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        problems = (_problem(".".join(map(str, item["loc"])), item["msg"], values) for item in error.errors())
        raise SettingsError("; ".join(problems)) from error


def _problem(key: str, message: str, values: Mapping[str, Value]) -> str:
    origin = next((value.origin for name, value in values.items() if key.startswith(name)), "the defaults")
    return f"{key} (set by {origin}): {message}"


def _leaf(settings: Settings, key: str) -> Any:
    node: Any = settings
    for name in key.split("."):
        node = getattr(node, name)
    return node
