"""Who may ask: whoever bears a token of the state folder, or one of the identity provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ...config.settings import OidcSettings, Settings
from ...tools.runtime.identity import Identity
from .tokens import PREFIX, Tokens

if TYPE_CHECKING:
    from .issuer import Issuer

Verdict = Identity | Literal["invalid_token", "insufficient_scope"]


class Callers:
    """Tells callers by their tokens, of either kind.

    Raises:
        SettingsError: the keys of the identity provider are a file that cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self.tokens = Tokens(settings.home)
        self._issuer = _issuer_of(settings.oidc)

    @property
    def required(self) -> bool:
        """Whether a caller has to name itself."""
        return self._issuer is not None or self.tokens.required

    @property
    def locked(self) -> bool:
        """Whether there is somebody who could come in, and nobody else can."""
        return self._issuer is not None or bool(self.tokens.all)

    async def verdict(self, presented: str) -> Verdict:
        """Whose token it is, or why it is not taken."""
        if self._issuer is None or presented.startswith(PREFIX):
            return self.tokens.identity(presented) or "invalid_token"
        return await self._issuer.verdict(presented)


def _issuer_of(options: OidcSettings) -> Issuer | None:
    if not options.issuer:
        return None
    from .issuer import Issuer

    return Issuer(options)
