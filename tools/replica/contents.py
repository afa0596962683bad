"""Where the contents of larger files lie, each under its SHA-256: a bucket, or a folder that all servers mount."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from ...config.settings import StorageSettings
from ..errors import require
from ..storage.errors import StorageError
from ..storage.state_files import draft_of, private_folder

CONNECT_S, READ_S, ATTEMPTS = 3, 20, 3
MISSING = ("404", "NoSuchKey", "NotFound")
HINT = "Check storage.files; what was made here is kept, and shared once it answers."


class Contents(Protocol):
    """All methods raise StorageError when the store does not answer."""

    def put(self, sha256: str, path: Path) -> None: ...

    def get(self, sha256: str, target: Path) -> bool:
        """Write it to a file that is not there yet; False if there is no such content."""
        ...

    def has(self, sha256: str) -> bool: ...

    def drop(self, sha256: str) -> None: ...


def contents_of(storage: StorageSettings) -> Contents:
    """The configured store. Raises NotInstalled when its client is missing."""
    parts = urlsplit(storage.files)
    if parts.scheme == "file":
        return Mounted(Path(unquote(parts.path)))
    require("boto3")
    return Bucket(parts.netloc, parts.path.strip("/"), storage.endpoint)


class Mounted:
    """A folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, sha256: str, path: Path) -> None:
        target = self._path(sha256)
        with self._told(), draft_of(private_folder(target.parent) / target.name) as draft:
            shutil.copyfile(path, draft)
            draft.replace(target)

    def get(self, sha256: str, target: Path) -> bool:
        with self._told():
            if not self._path(sha256).is_file():
                return False
            shutil.copyfile(self._path(sha256), target)
            return True

    def has(self, sha256: str) -> bool:
        with self._told():
            return self._path(sha256).is_file()

    def drop(self, sha256: str) -> None:
        with self._told():
            self._path(sha256).unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256

    @contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(f"the file store {self._folder} cannot be used: {error}", HINT, "away") from error


class Bucket:
    """A folder of a bucket, on AWS or on what speaks as it does."""

    def __init__(self, name: str, folder: str, endpoint: str) -> None:
        self._name = name
        self._folder = folder
        self._endpoint = endpoint
        self._opened: Any = None

    def put(self, sha256: str, path: Path) -> None:
        with self._told():
            self._client.upload_file(str(path), self._name, self._key(sha256))

    def get(self, sha256: str, target: Path) -> bool:
        with self._told():
            return _found(self._client.download_file, self._name, self._key(sha256), str(target))

    def has(self, sha256: str) -> bool:
        with self._told():
            return _found(self._client.head_object, Bucket=self._name, Key=self._key(sha256))

    def drop(self, sha256: str) -> None:
        with self._told():
            self._client.delete_object(Bucket=self._name, Key=self._key(sha256))

    def _key(self, sha256: str) -> str:
        return "/".join(filter(None, (self._folder, "contents", sha256[:2], sha256)))

    @property
    def _client(self) -> Any:
        if self._opened is None:
            import boto3
            from botocore.config import Config

            limits = Config(
                connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"max_attempts": ATTEMPTS, "mode": "standard"}
            )
            self._opened = boto3.client("s3", endpoint_url=self._endpoint or None, config=limits)
        return self._opened

    @contextmanager
    def _told(self) -> Generator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error, OSError) as error:
            raise StorageError(
                f"the file store s3://{self._name} cannot be used: {str(error)[:300]}", HINT, "away"
            ) from error


def _found(ask: Callable[..., object], *values: str, **named: str) -> bool:
    """Whether there is what is asked for."""
    from botocore.exceptions import ClientError

    try:
        ask(*values, **named)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in MISSING:
            raise
        return False
    return True
