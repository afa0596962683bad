"""Tokens of an identity provider: what is believed of one, and every way to forge one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.access.issuer import MOST, MOST_NAME, Issuer
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.tracing.redaction import redact

from .provider import AUDIENCE, Provider, rsa_key, told_of


@pytest.fixture
def known(settings: Settings, keys_file: str) -> Settings:
    """Settings that know the provider by a file of its keys."""
    return told_of(settings, jwks=keys_file)


def part(content: Any) -> str:
    return base64.urlsafe_b64encode(content if isinstance(content, bytes) else json.dumps(content).encode()).decode()


def signed_with_hmac(provider: Provider, secret: bytes) -> str:
    """Alg confusion: the public key, which everybody knows, as the secret of a signature."""
    head = part({"alg": "HS256", "kid": provider.kid}).rstrip("=")
    body = provider.token().split(".")[1]
    digest = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{part(digest).rstrip('=')}"


def unsigned(provider: Provider, alg: str) -> str:
    return f"{part({'alg': alg, 'kid': provider.kid}).rstrip('=')}.{provider.token().split('.')[1]}."


def changed(token: str, **claims: Any) -> str:
    """The same signature under another content."""
    head, body, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{part({**said, **claims}).rstrip('=')}.{signature}"


def forged(headers: dict[str, Any]) -> Callable[[Provider], str]:
    """Signed by somebody else, whose header says where to find the key."""
    return lambda provider: Provider(provider.kid).token(headers)


NESTED = part(b"[" * 9000).rstrip("=")
ATTACKS: dict[str, Callable[[Provider], str]] = {
    "another audience": lambda provider: provider.token(aud="https://other.example.org/mcp"),
    "other audiences": lambda provider: provider.token(aud=["https://other.example.org", 1]),
    "no audience": lambda provider: provider.token(aud=None),
    "an empty audience": lambda provider: provider.token(aud=[]),
    "an audience that begins so": lambda provider: provider.token(aud=AUDIENCE[:-1]),
    "expired": lambda provider: provider.token(exp=int(time.time()) - 60),
    "never expires": lambda provider: provider.token(exp=None),
    "expires at no time": lambda provider: provider.token(exp="tomorrow"),
    "expires in infinity": lambda provider: provider.token(exp=float("inf")),
    "not valid yet": lambda provider: provider.token(nbf=int(time.time()) + 600),
    "issued tomorrow": lambda provider: provider.token(iat=int(time.time()) + 86400),
    "another issuer": lambda provider: provider.token(iss="https://login.example.org/realms/other"),
    "an issuer with a slash": lambda provider: provider.token(iss="https://login.example.org/realms/ml/"),
    "no issuer": lambda provider: provider.token(iss=None),
    "several issuers": lambda provider: provider.token(iss=["https://login.example.org/realms/ml"]),
    "alg none": lambda provider: unsigned(provider, "none"),
    "alg None": lambda provider: unsigned(provider, "None"),
    "alg empty": lambda provider: unsigned(provider, ""),
    "no signature": lambda provider: unsigned(provider, "ES256"),
    "the public key as a secret": lambda provider: signed_with_hmac(provider, provider.keys.encode()),
    "an empty secret": lambda provider: signed_with_hmac(provider, b""),
    "another content": lambda provider: changed(provider.token(), scope="admin"),
    "another name": lambda provider: changed(provider.token(), sub="root"),
    "a key in its header": forged({"jwk": Provider("first").public}),
    "an address of keys in its header": forged({"jku": "http://127.0.0.1:9/keys"}),
    "a certificate in its header": forged({"x5u": "http://127.0.0.1:9/cert", "x5c": ["MII"]}),
    "an unknown key": lambda provider: provider.token({"kid": "second"}),
    "a path as its key": lambda provider: provider.token({"kid": "../../../../dev/null"}),
    "a query as its key": lambda provider: provider.token({"kid": "x' or '1'='1"}),
    "an empty key": lambda provider: provider.token({"kid": ""}),
    "something critical": lambda provider: provider.token({"crit": ["exp"], "exp": 1}),
    "huge": lambda provider: provider.token(more="x" * MOST),
    "deep": lambda _provider: f"{NESTED}.x.x",
    "no parts": lambda _provider: "wrong",
    "two parts": lambda provider: provider.token().rpartition(".")[0],
    "four parts": lambda provider: f"{provider.token()}.x",
    "five parts": lambda provider: f"{provider.token()}.x.x",
    "no letters": lambda _provider: "é.é.é",
    "no name": lambda provider: provider.token(sub=None),
    "an empty name": lambda provider: provider.token(sub=""),
    "a name with blanks around": lambda provider: provider.token(sub=" ann"),
    "a name of two lines": lambda provider: provider.token(sub="ann\nroot"),
    "a name that reads backwards": lambda provider: provider.token(sub="\u202enna"),
    "a long name": lambda provider: provider.token(sub="a" * (MOST_NAME + 1)),
    "a number as a name": lambda provider: provider.token(sub=7),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_token_that_is_not_whole_is_refused(attack: str, known: Settings, provider: Provider) -> None:
    issuer = Issuer(known.oidc)
    assert await issuer.verdict(provider.token()) == Identity("oidc:ann", "read")
    assert await issuer.verdict(ATTACKS[attack](provider)) == "invalid_token"


async def test_a_key_of_one_kind_checks_no_signature_of_another(settings: Settings, tmp_path: Path) -> None:
    private, public = rsa_key("first")
    weak, of_weak = rsa_key("weak", 1024)
    secret = {"kty": "oct", "kid": "secret", "k": part(b"x" * 32), "alg": "HS256"}
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [public, of_weak, secret]}), encoding="utf-8")
    known = told_of(settings, jwks=str(tmp_path / "keys.json"))
    claims = jwt.decode(Provider().token(), options={"verify_signature": False})

    async def verdict(key: Any, alg: str, kid: str = "first") -> Any:
        return await Issuer(known.oidc).verdict(jwt.encode(claims, key, alg, headers={"kid": kid}))

    assert await verdict(private, "RS256") == Identity("oidc:ann", "read")
    assert await verdict(private, "PS256") == "invalid_token"
    assert await verdict(Provider().key, "ES256") == "invalid_token"
    assert await verdict(weak, "RS256", "weak") == "invalid_token"
    assert await verdict(b"x" * 32, "HS256", "secret") == "invalid_token"
    only = told_of(settings, jwks=str(tmp_path / "keys.json"), algorithms=("ES256",))
    signed = jwt.encode(claims, private, "RS256", headers={"kid": "first"})
    assert await Issuer(only.oidc).verdict(signed) == "invalid_token"


async def test_a_key_that_names_no_algorithm_checks_all_of_its_kind_that_are_wanted(
    settings: Settings, tmp_path: Path
) -> None:
    private, public = rsa_key("first")
    del public["alg"]
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [public, Provider("curve").public]}), encoding="utf-8")
    known = told_of(settings, jwks=str(tmp_path / "keys.json"), algorithms=("RS256", "RS512", "PS256", "ES256"))
    claims = jwt.decode(Provider().token(), options={"verify_signature": False})

    async def verdict(key: Any, alg: str, kid: str = "first") -> Any:
        return await Issuer(known.oidc).verdict(jwt.encode(claims, key, alg, headers={"kid": kid}))

    for alg in ("RS256", "RS512", "PS256"):
        assert (alg, await verdict(private, alg)) == (alg, Identity("oidc:ann", "read"))
        assert (alg, await verdict(rsa_key("first")[0], alg)) == (alg, "invalid_token")
        assert (alg, await verdict(private, alg, "curve")) == (alg, "invalid_token")
    for alg in ("RS384", "PS512"):
        assert (alg, await verdict(private, alg)) == (alg, "invalid_token")
    assert await verdict(Provider().key, "ES256") == "invalid_token"
    for secret in (json.dumps(public).encode(), b"x" * 32):
        assert await Issuer(known.oidc).verdict(signed_with_hmac(Provider(), secret)) == "invalid_token"


@pytest.mark.parametrize(
    ("claims", "access"),
    [
        ({"scope": "openid read"}, "read"),
        ({"scope": "write read"}, "write"),
        ({"scope": ["admin"]}, "admin"),
        ({"scope": "Read"}, None),
        ({"scope": "openid"}, None),
        ({"scope": None}, None),
        ({"scope": {"read": True}}, None),
        ({"scope": [["admin"], 1]}, None),
    ],
)
async def test_its_scopes_say_what_it_allows_and_without_one_of_ours_it_allows_nothing(
    known: Settings, provider: Provider, claims: dict[str, Any], access: Any
) -> None:
    verdict = await Issuer(known.oidc).verdict(provider.token(**claims))
    assert verdict == (Identity("oidc:ann", access) if access else "insufficient_scope")


async def test_scopes_and_names_may_stand_in_other_claims(known: Settings, provider: Provider) -> None:
    changed = {"name_claim": "email", "scope_claim": "realm_access.roles", "admin_scopes": ("ml-admins",)}
    issuer = Issuer(known.oidc.model_copy(update=changed))
    token = provider.token(email="ann@example.org", realm_access={"roles": ["ml-admins"]})
    assert await issuer.verdict(token) == Identity("oidc:ann@example.org", "admin")
    dotted = Issuer(known.oidc.model_copy(update={"scope_claim": "https://example.org/roles"}))
    claims: dict[str, Any] = {"https://example.org/roles": ["write"]}
    token = provider.token(**claims)
    assert await dotted.verdict(token) == Identity("oidc:ann", "write")


async def test_a_file_of_keys_is_read_again_when_it_changes_and_lets_nobody_in_when_it_cannot_be(
    known: Settings, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    issuer, file, second = Issuer(known.oidc), Path(known.oidc.jwks), Provider("second")
    assert await issuer.verdict(second.token()) == "invalid_token"
    file.write_text(json.dumps({"keys": [provider.public, second.public]}), encoding="utf-8")
    assert await issuer.verdict(second.token()) == Identity("oidc:ann", "read")
    for broken in ("", "[]", "{}", '{"keys": []}', '{"keys": [1]}', '{"keys": {"a": 1}}', "[" * 100_000):
        file.write_text(broken, encoding="utf-8")
        os.utime(file, ns=(time.time_ns(), time.time_ns()))
        assert await issuer.verdict(second.token()) == "invalid_token", broken
        with pytest.raises(SettingsError, match=r"oidc\.jwks"):
            Issuer(known.oidc)
    assert "are refused" in caplog.text
    file.unlink()
    assert await issuer.verdict(second.token()) == "invalid_token"


async def test_a_token_that_was_believed_is_not_once_it_has_expired_or_its_key_is_gone(
    known: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer, file, token = Issuer(known.oidc), Path(known.oidc.jwks), provider.token()
    assert [await issuer.verdict(token) for _ in range(2)] == [Identity("oidc:ann", "read")] * 2
    now = time.time
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: now() + 629)
        assert await issuer.verdict(token) == Identity("oidc:ann", "read")
        later.setattr(time, "time", lambda: now() + 631)
        assert issuer._believed  # pyright: ignore[reportPrivateUsage]
        assert await issuer._still(next(iter(issuer._believed.values()))) is False  # pyright: ignore[reportPrivateUsage]
    file.write_text(Provider("first").keys, encoding="utf-8")
    assert await issuer.verdict(token) == "invalid_token"


async def test_as_many_tokens_are_remembered_as_there_is_room_for(
    known: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops_mcp.server.access.issuer.MOST_BELIEVED", 3)
    issuer = Issuer(known.oidc)
    for number in range(9):
        assert await issuer.verdict(provider.token(jti=str(number))) == Identity("oidc:ann", "read")
    assert len(vars(issuer)["_believed"]) == 3


def test_settings_that_would_let_in_others_are_refused(environ: dict[str, str]) -> None:
    given = {"oidc.issuer": "https://login.example.org", "oidc.audience": ["https://mlops.example.org/mcp"]}
    assert load(environ, given).settings.oidc.issuer
    for changed, said in (
        ({"oidc.audience": []}, "needs an audience"),
        ({"oidc.audience": [""]}, "audience"),
        ({"oidc.issuer": "http://login.example.org"}, "https://"),
        ({"oidc.issuer": "login.example.org"}, "https://"),
        ({"oidc.jwks": "ftp://login.example.org/keys"}, "https://"),
        ({"oidc.jwks": "http://127.0.0.1.example.org/keys"}, "https://"),
        ({"oidc.algorithms": []}, "algorithms"),
        ({"oidc.algorithms": ["none"]}, "algorithms"),
        ({"oidc.algorithms": ["HS256", "RS256"]}, "algorithms"),
        ({"oidc.scope_claim": ""}, "scope_claim"),
        ({"oidc.read_scopes": [""]}, "read_scopes"),
    ):
        with pytest.raises(SettingsError, match=said):
            load(environ, {**given, **changed})


def test_no_token_stays_in_a_text(provider: Provider) -> None:
    token = provider.token()
    assert token not in redact(f"it is {token}, alone")
    assert token.split(".")[1] not in redact(token)
