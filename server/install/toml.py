"""TOML, read and changed by tomlkit, which keeps comments and order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import InstallError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import InlineTable, Table

LONE_NEWLINE = re.compile(r"(?<!\r)\n")


def parse(text: str) -> Mapping[str, object]:
    """The document as plain values.

    Raises:
        InstallError: it is no TOML, and at which line.
    """
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InstallError(str(error)) from error


def put(text: str, path: tuple[str, ...], value: Mapping[str, object]) -> str:
    """The text with a table at a path; those on the way that are missing are made."""
    import tomlkit
    from tomlkit.items import InlineTable

    document = _document(text)
    *above, name = path
    holder: Any = document
    for key in above:
        if key not in holder:
            holder[key] = tomlkit.table(is_super_table=True)
        holder = holder[key]
    # A table in one line can hold only such.
    holder[name] = _in_one_line(value) if isinstance(holder, InlineTable) else _table(value)
    return _in_the_manner_of(text, tomlkit.dumps(document))


def _table(value: Mapping[str, object]) -> Table:
    import tomlkit

    table = tomlkit.table()
    for key, inner in value.items():
        table[key] = _in_one_line(inner) if isinstance(inner, Mapping) else inner
    return table


def _in_one_line(value: Mapping[str, object]) -> InlineTable:
    import tomlkit

    table = tomlkit.inline_table()
    for key, inner in value.items():
        table[key] = _in_one_line(inner) if isinstance(inner, Mapping) else inner
    return table


def drop(text: str, path: tuple[str, ...]) -> str:
    """The text without what stands at a path, which exists."""
    import tomlkit

    body = text.rstrip("\r\n")
    document = _document(body)
    holder: Any = document
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    left = tomlkit.dumps(document)
    if left and not left.endswith("\n"):  # something else was last
        return left + text[len(body) :]
    # The empty line above a last table goes with it.
    return re.sub(r"(\r?\n)(\r?\n)+$", r"\1", left)


def _document(text: str) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise InstallError(str(error)) from error


def _in_the_manner_of(text: str, changed: str) -> str:
    """A file whose lines end in CRLF goes on doing so."""
    if "\r\n" in text and not LONE_NEWLINE.search(text):
        return LONE_NEWLINE.sub("\r\n", changed)
    return changed
