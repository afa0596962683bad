"""What the proxy of a state folder keeps there, for its owner alone."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from ...storage.state_files import replaced, written_once

HOST = "127.0.0.1"
BYTES = 32


@dataclass(frozen=True)
class Places:
    home: Path

    @property
    def folder(self) -> Path:
        return self.home / "proxy"

    @property
    def endpoints(self) -> Path:
        return self.home / "endpoints"

    def any_endpoint(self) -> bool:
        try:
            return any(name.endswith(".json") for name in os.listdir(self.endpoints))
        except FileNotFoundError:
            return False

    @property
    def starting(self) -> Path:
        """Held by whoever starts or ends the keeper."""
        return self.folder / "start.lock"

    @property
    def keeper(self) -> Path:
        """Held by the keeper for as long as it lives."""
        return self.folder / "keeper.lock"

    @property
    def relay(self) -> Path:
        """Held by the relay for as long as it lives."""
        return self.folder / "relay.lock"

    def lock_of(self, endpoint: str) -> Path:
        """Held by whoever changes an endpoint."""
        return self.endpoints / f"{endpoint}.lock"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def port(self) -> int:
        """Where the proxy listens, also after it was started anew; 0 before the first time."""
        try:
            return int(self._port.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def keep_port(self, port: int) -> None:
        replaced(self._port, str(port).encode("ascii"))

    def token(self) -> str:
        """What who may give the proxy orders has to send."""
        return written_once(self.folder / "token", secrets.token_urlsafe(BYTES))

    @property
    def _port(self) -> Path:
        return self.folder / "port"
