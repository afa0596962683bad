"""The public keys of an identity provider: out of a file, or fetched now and then, in nobody's way."""

from __future__ import annotations

import json
import logging
import math
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import anyio
import httpx2
from jwt import PyJWK, PyJWKSet, PyJWTError

from ...config.errors import SettingsError
from ...config.settings import OidcSettings, safe_address
from ...config.watch import Stamp, stamp_of

# A key that is unknown, or older than FRESH_S, is looked for once in BACK_OFF_S; LAST_S after the last answer of the
# provider none counts any more.
FRESH_S, BACK_OFF_S, LAST_S = 300.0, 30.0, 3600.0
PATIENCE_S = 5.0
MOST = 1 << 20
# https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig
DISCOVERY = "/.well-known/openid-configuration"

logger = logging.getLogger(__name__)


class Key(PyJWK):
    """A key, and with which algorithms it checks: the one that it names, else any of its kind (RFC 7517, 4.4)."""

    @classmethod
    def of(cls, key: PyJWK) -> Key:
        return cls(key._jwk_data)

    def checking(self, algorithm: str) -> PyJWK:
        """The key for tokens of an algorithm, if it may be used so; else as it is, which then checks none of them.

        Raises:
            PyJWTError: there is no such algorithm.
        """
        free = self.key_type == "RSA" and not self._jwk_data.get("alg")
        return PyJWK(self._jwk_data, algorithm) if free and algorithm.startswith(("RS", "PS")) else self


class Keys(Protocol):
    """Finds the key of an id; None where there is none, or it cannot be told."""

    async def find(self, kid: str) -> Key | None: ...


def keys_of(options: OidcSettings) -> Keys:
    """Those of the settings.

    Raises:
        SettingsError: they are a file that cannot be used.
    """
    fetched = "://" in options.jwks or not options.jwks
    return FetchedKeys(options.issuer, options.jwks) if fetched else StoredKeys(Path(options.jwks).expanduser())


class StoredKeys:
    """The keys of a file (RFC 7517), read again whenever it has changed; while it cannot be read there are none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: Stamp | None = None
        self._known: Mapping[str, Key] = {}
        if error := self._look():
            raise SettingsError(f"oidc.jwks: {error}")

    async def find(self, kid: str) -> Key | None:
        if error := self._look():
            logger.warning("tokens of the identity provider are refused: %s", error)
        return self._known.get(kid)

    def _look(self) -> str:
        """What is wrong with a file that is another one by now."""
        stamp = stamp_of(self._path)
        if stamp is not None and stamp == self._stamp:
            return ""
        self._known, self._stamp = {}, stamp
        try:
            self._known = usable(json.loads(self._path.read_bytes()))
        except OSError as error:
            self._stamp = None
            return f"{self._path} cannot be read: {error.strerror}"
        except (ValueError, RecursionError, PyJWTError) as error:
            return f"{self._path} holds no keys: {error}"
        return ""


class FetchedKeys:
    """The keys that an address answers with; that of the issuer's own description, if none is given.

    One caller at a time waits for an answer; those whose key is known do not wait for that one.
    """

    def __init__(self, issuer: str, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._issuer = issuer
        self._address = address
        self._known: Mapping[str, Key] = {}
        self._answered = self._tried = -math.inf
        self._asking = anyio.Lock()
        self._tls = ssl.create_default_context()  # reads files, so once

    async def find(self, kid: str) -> Key | None:
        if self._wanted(kid) and not (kid in self._known and self._asking.locked()):
            async with self._asking:
                if self._wanted(kid):
                    await self._fetch()
        return self._known.get(kid) if self._clock() - self._answered < LAST_S else None

    def _wanted(self, kid: str) -> bool:
        now = self._clock()
        return now - self._tried >= BACK_OFF_S and (kid not in self._known or now - self._answered >= FRESH_S)

    async def _fetch(self) -> None:
        try:
            with anyio.fail_after(PATIENCE_S):
                self._known = usable(await self._document())
            self._answered = self._clock()
        except (OSError, httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError, PyJWTError) as error:
            what = f"{type(error).__name__}: {error}".rstrip(": ")
            logger.warning(
                "the keys of %s cannot be had, and tokens of unknown ones are refused: %s", self._issuer, what
            )
        self._tried = self._clock()

    async def _document(self) -> Any:
        async with httpx2.AsyncClient(verify=self._tls, timeout=PATIENCE_S) as http:
            return await _read(http, self._address or await self._described(http))

    async def _described(self, http: httpx2.AsyncClient) -> str:
        found = await _read(http, self._issuer.rstrip("/") + DISCOVERY)
        if not isinstance(found, dict) or found.get("issuer") != self._issuer:
            raise ValueError("its description is of another issuer")
        return safe_address(str(found.get("jwks_uri")))


async def _read(http: httpx2.AsyncClient, address: str) -> Any:
    """The JSON behind an address itself: wherever that sends one to is not what somebody has configured."""
    text = bytearray()
    async with http.stream("GET", address) as answer:
        answer.raise_for_status()
        async for part in answer.aiter_bytes():
            text += part
            if len(text) > MOST:
                raise ValueError(f"{address} answers with more than {MOST} bytes")
    return json.loads(text)


def usable(document: object) -> dict[str, Key]:
    """By their id, those with which signatures are checked.

    Raises:
        ValueError: it is no set of keys.
        PyJWTError: it holds none.
    """
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("no set of keys (RFC 7517)")
    found = PyJWKSet.from_dict(document).keys
    return {key.key_id: Key.of(key) for key in found if key.key_id and key.public_key_use in (None, "sig")}
