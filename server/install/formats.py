"""The two kinds of file that clients keep, and our one entry in them; every changed text is read again and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import jsonc, toml
from .entry import Value
from .errors import InstallError

BOM = "\ufeff"
Place = tuple[str, str]
"""The key of the servers, and the name of ours."""


@dataclass(frozen=True)
class Format:
    """How a text is read, and changed at a path."""

    parse: Callable[[str], object]
    put: Callable[[str, tuple[str, ...], Mapping[str, object]], str]
    drop: Callable[[str, tuple[str, ...]], str]

    @classmethod
    def of(cls, path: Path) -> Format:
        """That of a file, by its suffix."""
        if path.suffix == ".toml":
            return cls(toml.parse, toml.put, toml.drop)
        return cls(jsonc.load, jsonc.put, jsonc.drop)

    def read(self, text: str) -> dict[str, object]:
        """The document.

        Raises:
            InstallError: it cannot be read, or is something else than an object.
        """
        return _object(self.parse(text.removeprefix(BOM)), "it")

    def servers(self, text: str, key: str) -> dict[str, object] | None:
        """The servers by name; None where the document has no such key."""
        document = self.read(text)
        return _object(document[key], f"`{key}`") if key in document else None

    def with_entry(self, text: str, place: Place, value: Mapping[str, Value]) -> str:
        """The text with our entry.

        Raises:
            InstallError: it cannot be written without changing something else.
        """
        document, servers = self.read(text), self.servers(text, place[0])
        wanted = {**document, place[0]: {**(servers or {}), place[1]: value}}
        return self._checked(text, self.put(text.removeprefix(BOM), place, value), wanted)

    def without_entry(self, text: str, place: Place, keep_key: bool) -> str:
        """The text without our entry, which it has; the key goes too when nothing else is under it."""
        document, servers = self.read(text), dict(self.servers(text, place[0]) or {})
        del servers[place[1]]
        rest = {key: value for key, value in document.items() if key != place[0]}
        if servers:
            return self._checked(text, self.drop(text.removeprefix(BOM), place), {**rest, place[0]: servers})
        if keep_key:  # which tables of TOML do not have without an entry
            return self._checked(text, self.drop(text.removeprefix(BOM), place), {**rest, place[0]: {}}, rest)
        return self._checked(text, self.drop(text.removeprefix(BOM), place[:1]), rest)

    def _checked(self, before: str, after: str, *wanted: Mapping[str, object]) -> str:
        text = BOM + after if before.startswith(BOM) else after
        if self.read(text) not in wanted:
            raise InstallError("it cannot be changed without changing something else in it; change it by hand")
        return text


def _object(value: object, what: str) -> dict[str, object]:
    if isinstance(value, Mapping):
        return {str(key): inner for key, inner in value.items()}
    raise InstallError(f"{what} holds {type(value).__name__} where an object is expected")
