"""The tokens of a state folder: a private file of their names, scopes and digests. No token is stored itself."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...config.errors import SettingsError
from ...config.watch import Stamp, stamp_of
from ...tools.errors import ToolFailure
from ...tools.locks import locked
from ...tools.runtime.identity import Access, Identity
from ...tools.storage.state_files import replaced

FILE, LOCK = "tokens.json", "tokens.lock"
# By it the redaction knows a token, wherever it stands.
PREFIX = "mlopstk_"
PATIENCE_S = 10.0


class Token(BaseModel):
    """What is kept of a token. It has 256 random bits, so that a plain digest cannot be turned back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}$")]
    scope: Access
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: float

    @property
    def identity(self) -> Identity:
        return Identity(self.name, self.scope)


class Kept(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[Token, ...] = ()


class Tokens:
    """The tokens of a state folder, read again whenever their file has changed.

    Once there was a file, nobody enters without a token: also when the last one is revoked, or the file is gone.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._path = home / FILE
        self._stamp: Stamp | None = None
        self._known: Mapping[str, Token] = {}
        self._required = False

    @property
    def required(self) -> bool:
        """Whether a caller has to name itself."""
        self._look()
        return self._required

    @property
    def all(self) -> tuple[Token, ...]:
        """By name.

        Raises:
            SettingsError: the file cannot be read.
        """
        try:
            found = Kept.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError) as error:
            raise SettingsError(f"{self._path} cannot be read: delete it and make new tokens") from error
        return tuple(sorted(found.tokens, key=lambda token: token.name))

    def identity(self, presented: str) -> Identity | None:
        """Whose token it is; None for one that is nobody's.

        How long it takes tells of digests alone, which nobody can choose.
        """
        self._look()
        found = self._known.get(_digest(presented))
        return found.identity if found else None

    def make(self, name: str, scope: Access) -> str:
        """A new token: it is shown now or never.

        Raises:
            SettingsError: the name is taken or none, or the file cannot be used.
        """
        presented = PREFIX + secrets.token_urlsafe(32)
        try:
            new = Token(name=name, scope=scope, digest=_digest(presented), created=time.time())
        except ValidationError:
            raise SettingsError(f"{name[:80]!r} is no name: use letters, digits, and . _ @ - between them") from None
        with self._changing():
            known = self.all
            if any(token.name == name for token in known):
                raise SettingsError(f"there is a token {name} already: `mlops-mcp token revoke {name}` ends it")
            self._write((*known, new))
        return presented

    def revoke(self, name: str) -> None:
        """End a token, also for servers that run.

        Raises:
            SettingsError: there is none of that name, or the file cannot be used.
        """
        with self._changing():
            known = self.all
            left = tuple(token for token in known if token.name != name)
            if len(left) == len(known):
                names = ", ".join(token.name for token in known) or "none"
                raise SettingsError(f"there is no token {name[:80]!r}; there are: {names}")
            self._write(left)

    def _write(self, tokens: tuple[Token, ...]) -> None:
        replaced(self._path, Kept(tokens=tokens).model_dump_json(indent=1).encode())

    @contextmanager
    def _changing(self) -> Generator[None]:
        try:
            with locked(self._home / LOCK, PATIENCE_S, "the tokens are being changed", "Try again."):
                yield
        except ToolFailure as busy:
            raise SettingsError(str(busy)) from busy
        except OSError as error:
            raise SettingsError(f"{self._path} cannot be written: {error.strerror}") from error

    def _look(self) -> None:
        """Read the file if it is another one by now; one that cannot be read lets nobody in."""
        stamp = stamp_of(self._path)
        if stamp is None:
            self._stamp, self._known = None, {}
            return
        if stamp == self._stamp:
            return
        self._stamp, self._required = stamp, True
        try:
            self._known = {token.digest: token for token in self.all}
        except SettingsError:
            self._known = {}


def _digest(presented: str) -> str:
    return hashlib.sha256(presented.encode("utf-8", "replace")).hexdigest()
