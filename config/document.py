"""Read YAML that people wrote: what cannot be used is a `SettingsError` that names the place and quotes nothing."""

from __future__ import annotations

import os
import stat
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.reader import ReaderError

from .errors import SettingsError

MAX_BYTES = 256 * 1024
# Aliases count as often as they are used, so a few lines cannot stand for millions of values.
MAX_NODES = 10_000
MAX_DEPTH = 20
# What YAML's constructors raise for a value that is not what it looks like, such as the date 2024-13-45.
MISTAKEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
# libyaml reads ten times faster, and that is a hundredth of a start; it is missing where PyYAML was built without it.
FASTEST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: Path) -> bytes:
    """What a file holds, as it is.

    Raises:
        SettingsError: it cannot be read, or is too large for settings.
    """
    where = described(path)
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
                raise SettingsError(f"cannot read {where}: it is a pipe, pass a file")
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read {where}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise SettingsError(f"cannot read {where}: it is larger than {MAX_BYTES // 1024} KB")
    return content


def decoded(content: bytes, path: Path) -> str:
    """Raises SettingsError for what is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"cannot read {described(path)}: line {line} is not UTF-8, save the file as such") from None


def described(path: Path) -> str:
    return f"the configuration file {path}"


def _without_waiting(path: str, flags: int) -> int:
    """Opening a pipe waits until somebody writes to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def parse(text: str, where: str) -> Any:
    """What a text holds.

    Raises:
        SettingsError: it is no YAML, says a key twice, or stands for more than settings need.
    """
    loader = FASTEST(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _require_plain(node)
        return _constructed(loader, node)
    except (yaml.YAMLError, RecursionError) as error:
        # The error itself would print the line, which may hold a secret.
        raise SettingsError(f"cannot read {where}: {_described(error)}") from None
    finally:
        loader.dispose()


def _constructed(loader: Any, node: yaml.Node) -> Any:
    try:
        return loader.construct_document(node)
    except MISTAKEN:
        mark = next((each.start_mark for each in _scalars(node) if _is_mistaken(each)), node.start_mark)
        raise ConstructorError(None, None, "the value is not what it looks like: write it in quotes", mark) from None


def _scalars(node: yaml.Node) -> list[yaml.Node]:
    """The single values below a node, in their order."""
    found: list[yaml.Node] = []
    waiting = [node]
    while waiting:
        current = waiting.pop()
        below = _below(current)
        waiting += reversed(below)
        if not below:
            found.append(current)
    return found


def _is_mistaken(node: yaml.Node) -> bool:
    try:
        SafeConstructor().construct_object(node)
    except MISTAKEN:
        return True
    return False


def _below(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return list(chain.from_iterable(node.value))
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _require_plain(root: yaml.Node) -> None:
    left, waiting = MAX_NODES, [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        below = _below(node)
        left -= len(below)
        if left < 0 or depth > MAX_DEPTH:
            raise ComposerError(None, None, "it stands for more values than settings need", node.start_mark)
        if isinstance(node, yaml.MappingNode):
            _require_once(node)
        waiting += [(each, depth + 1) for each in below]


def _require_once(mapping: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in mapping.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise ComposerError(None, None, f"{key.value} stands there twice", key.start_mark)
            seen.add(key.value)


def _described(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    if isinstance(error, ReaderError):
        return f"character {error.position + 1} is not allowed in YAML"
    return "it is nested too deeply" if isinstance(error, RecursionError) else type(error).__name__
