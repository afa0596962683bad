"""The tokens of an identity provider: what is looked at before one is believed (RFC 7519, RFC 8725)."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jwt

from ...config.settings import OidcSettings
from ...tools.runtime.identity import ACCESSES, Access, Identity
from .keys import Key, Keys, keys_of

# What RFC 6750 calls a token that is none, and a good one that allows too little.
Refused = Literal["invalid_token", "insufficient_scope"]
# Some name hundreds of groups.
MOST = 16 << 10
# By how much the clocks of two machines may differ.
LEEWAY_S = 30
MOST_NAME = 128
# Tokens whose signature is not checked again; the oldest goes first.
MOST_BELIEVED = 1000
# No token of the state folder can have such a name.
OF_ISSUER = "oidc:"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Believed:
    """A token whose signature was checked with a key, which need not be done for every request that bears it."""

    kid: str
    key: Key
    verdict: Identity | Refused
    until: float


class Issuer:
    """The identity provider of the settings.

    Raises:
        SettingsError: its keys are a file that cannot be used.
    """

    def __init__(self, options: OidcSettings, keys: Keys | None = None) -> None:
        self._options = options
        self._keys = keys or keys_of(options)
        self._believed: dict[bytes, Believed] = {}
        self._granting: dict[Access, tuple[str, ...]] = {
            access: scopes_of(options, access) for access in reversed(ACCESSES)
        }

    async def verdict(self, presented: str) -> Identity | Refused:
        """Whose token it is, or why it is not taken; the log says more than its bearer is told."""
        if len(presented) > MOST:
            logger.info("a token is refused: it has more than %d characters", MOST)
            return "invalid_token"
        digest = hashlib.sha256(presented.encode("utf-8", "replace")).digest()
        if (known := self._believed.get(digest)) and await self._still(known):
            return known.verdict
        try:
            believed = await self._believe(presented)
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            logger.info("a token is refused: %s", error)
            return "invalid_token"
        if len(self._believed) >= MOST_BELIEVED:
            del self._believed[next(iter(self._believed))]
        self._believed[digest] = believed
        return believed.verdict

    async def _still(self, known: Believed) -> bool:
        """Whether a token that was looked at before would pass once more: its signature does not change."""
        return time.time() < known.until and await self._keys.find(known.kid) is known.key

    async def _believe(self, presented: str) -> Believed:
        """What is to be believed of a token; of what its header says of keys that is the id of a known one alone,
        with an algorithm that this one is for.

        Raises:
            PyJWTError: it is none of ours.
        """
        header = jwt.get_unverified_header(presented)
        kid = header.get("kid")
        key = await self._keys.find(kid) if kid else None
        if kid is None or key is None:
            raise jwt.InvalidTokenError("it names no key that is known")
        claims = self._claims(presented, key.checking(str(header.get("alg"))))
        name, access = self._name(claims), self._access(claims)
        if not name:
            raise jwt.InvalidTokenError(f"its claim {self._options.name_claim} is no name")
        verdict: Identity | Refused = Identity(name, access) if access else "insufficient_scope"
        return Believed(kid, key, verdict, float(claims["exp"]) + LEEWAY_S)

    def _claims(self, presented: str, key: jwt.PyJWK) -> Mapping[str, Any]:
        """What a token says that is signed, meant for this server and valid now."""
        claims: Mapping[str, Any] = jwt.decode(
            presented,
            key,
            algorithms=self._options.algorithms,
            audience=self._options.audience,
            issuer=self._options.issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
        )
        return claims

    def _name(self, claims: Mapping[str, Any]) -> str:
        given = found(claims, self._options.name_claim)
        fits = isinstance(given, str) and given == given.strip() and 0 < len(given) <= MOST_NAME and given.isprintable()
        return f"{OF_ISSUER}{given}" if fits else ""

    def _access(self, claims: Mapping[str, Any]) -> Access | None:
        """The most that its scopes allow."""
        given = found(claims, self._options.scope_claim)
        scopes = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
        return next((access for access, granting in self._granting.items() if set(granting) & set(texts(scopes))), None)


def scopes_of(options: OidcSettings, access: Access) -> tuple[str, ...]:
    """How the provider calls what we call read, write and admin."""
    return {"read": options.read_scopes, "write": options.write_scopes, "admin": options.admin_scopes}[access]


def texts(values: list[Any]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def found(claims: Mapping[str, Any], name: str) -> Any:
    """A claim of that name, which may have dots itself; else one inside of others."""
    node: Any = claims
    for part in (name,) if name in claims else name.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node
