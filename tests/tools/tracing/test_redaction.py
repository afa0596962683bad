"""What is taken out of texts, and what is not."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.tracing.redaction import REDACTED, Redactor, redact, secret_name


@pytest.mark.parametrize(
    "name",
    ["githubToken", "DB_PASS", "pass", "api_key", "GITHUB_TOKEN", "accessToken", "auth_token", "db_pwd", "X-Signature"],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert secret_name(name, "x")


@pytest.mark.parametrize(
    "name", ["tokens", "max_tokens", "total_tokens", "token_count", "passed", "pass_rate", "compass", "key", "monkey"]
)
def test_names_of_counts_and_words_are_left_alone(name: str) -> None:
    assert not secret_name(name, "x")


def test_a_number_under_the_name_of_a_token_is_a_count() -> None:
    assert not secret_name("token", 12)


def test_a_secret_that_is_written_for_an_address_is_found() -> None:
    assert (
        redact("mlflow://runs/postgresql%3A%2F%2Fme%3Ahunter2%40db%2Fx")
        == f"mlflow://runs/postgresql://me:{REDACTED}@db/x"
    )
    assert redact("rate is 20% and 5%20more") == "rate is 20% and 5%20more"


def test_the_secrets_of_the_process_are_known_but_not_its_places(settings: Settings) -> None:
    environ = {"MY_API_KEY": "swordfish-1", "PWD": "/work/place", "SHORT_TOKEN": "abc", "PLAIN": "visible-value"}
    redactor = Redactor.of(settings, environ)
    assert (
        redactor("swordfish-1 in /work/place of abc visible-value") == f"{REDACTED} in /work/place of abc visible-value"
    )


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("secret", ['pass"word/ü+9', "swordfish", "correct horse battery"])
@pytest.mark.parametrize("write", [json.dumps, lambda text: quote(text, ""), quote, encoded])
def test_a_known_secret_is_found_as_it_is_written_elsewhere(
    settings: Settings, secret: str, write: Callable[[str], str]
) -> None:
    redactor = Redactor.of(settings, {"MY_API_KEY": secret})
    assert write(secret).strip('"')[:8] not in redactor(f"say {write(secret)} once")


@pytest.mark.parametrize("name", ["DATABASE_URL", "SOME_DSN", "BACKEND"])
def test_the_password_of_an_address_is_known_whatever_names_the_address(settings: Settings, name: str) -> None:
    redactor = Redactor.of(settings, {name: "amqp://me:swordfish-7@host/x"})
    assert redactor("login of swordfish-7 failed at host") == f"login of {REDACTED} failed at host"
    opik = settings.opik.model_copy(update={"url": "http://me:swordfish-8@host/api"})
    assert "swordfish" not in Redactor.of(settings.model_copy(update={"opik": opik}), {})("of swordfish-8")


def test_patterns_of_ones_own_are_taken_out_of_keys_and_values() -> None:
    redactor = Redactor((re.compile(r"EMP-\d+"),))
    assert redactor.scrub({"EMP-1": ["EMP-2", 3, None]}) == {REDACTED: [REDACTED, 3, None]}
    assert Redactor().idle
    assert not redactor.idle


def test_a_password_that_is_masked_already_leaves_the_address_readable() -> None:
    text = "the MLflow server at http://bot:********@127.0.0.1:9/m does not answer"
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        r'{"body": "{\"password\": \"hunter2secret\"}"}',
        'password="hunter2secret of more words"',
        "userPassword: hunter2secret",
        "PGPASSWORD=hunter2secret",
        "config['api_key'] = 'hunter2secret'",
        "https://x.blob.core.windows.net/c?sv=1&sig=hunter2secret",
    ],
)
def test_the_value_of_a_named_secret_is_taken_out_whole(text: str) -> None:
    assert not re.search("hunter2|more words", redact(text))


@pytest.mark.parametrize("text", ["bypass: 1234", "sig = 0.0123", "compass=north", "monkey: bananas", "tokens: 12345"])
def test_words_that_end_like_a_name_of_a_secret_are_left_alone(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "piece",
    [
        "://a:", ":", "%3A%2F%2F", "token ", "token", "password\\", "Bearer ", "eyJaaaaaaaa.", "cookie:", "Cookie: a",
        "-----BEGIN PRIVATE KEY-----", "sk-", "--token ", "key=pass",
        "?key=", "https://a", "curl -u ", "curl -u a:", "basic aaaaaaa", "[\"x-key\",", "auth=(",
        "authorization: basic ", "1234567890:", " ",
    ],
)  # fmt: skip
def test_no_text_takes_long_to_look_through(piece: str) -> None:
    for text in (piece * (65_536 // len(piece)), piece + "a" * 65_536, piece + " " * 65_536):
        began = time.process_time()
        redact(text)
        assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://hunter2@host?token=hunter3", "https://[redacted]@host?token=[redacted]"),
        ("https://hunter2:@host/", "https://[redacted]@host/"),
        ("GET /mcp?a=1&api_key=x HTTP/1.1", "GET /mcp?a=1&api_key=[redacted] HTTP/1.1"),
        ("postgresql://mlflow:hunter2@db/x", "postgresql://mlflow:[redacted]@db/x"),
        ("mysql://u:hunter@2@db", "mysql://u:[redacted]@db"),
        ("redis://a-user-that-is-a-token@cache", "redis://[redacted]@cache"),
        ("sent Basic dXNlcjpwYXNz to it", "sent Basic [redacted] to it"),
    ],
)
def test_an_address_without_its_secrets_can_still_be_recognised(text: str, clean: str) -> None:
    assert redact(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "curl -u a:hunter2 https://x",
        "curl --silent --user 'me:hunter2' http://x",
        'run ["curl", "-u", "me:hunter2"]',
        '[["X-Api-Key", "hunter2"]]',
        "[('x-auth-token', 'hunter2'), ('accept', 'x')]",
        r"{\"headers\": [[\"Authorization\", \"hunter2\"]]}",
        '{"auth": "hunter2"}',
        "{'basic_auth': 'hunter2'}",
        "get(url, auth=('me', 'hunter2'))",
    ],
)
def test_credentials_of_a_request_are_taken_out(text: str) -> None:
    assert "hunter2" not in redact(text)
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "git+https://git@github.com/a/b",
        "postgresql://mlflow@localhost/db",
        "see http://a.org/x, or write to joe@b.org",
        "https://x.org/?sort_key=name&page=2",
        "a Basic Training in basic statistics",
        "docker run -u 1000:1000 image",
        'columns ["password", "email"]',
        "author: someone, authentication: required, auth: none",
        "http://h:5000/x?key=",
    ],
)
def test_ordinary_addresses_and_words_are_left_alone(text: str) -> None:
    assert redact(text) == text


def test_the_passwords_of_the_configured_addresses_are_known(settings: Settings) -> None:
    mlflow = settings.mlflow.model_copy(update={"tracking_uri": "http://bot:swordfish-9@h"})
    redactor = Redactor.of(settings.model_copy(update={"mlflow": mlflow}), {})
    assert redactor("login of swordfish-9 failed") == f"login of {REDACTED} failed"


@pytest.mark.parametrize(
    "number",
    [
        "4111 1111 1111 1111", "4111111111111111", "4111-1111-1111-1111", "5555555555554444", "378282246310005",
        "3782 822463 10005", "6011111111111117", "3530111333300000", "2223003122003222", "30569309025904",
    ],
)  # fmt: skip
def test_numbers_of_cards_are_taken_out(number: str) -> None:
    assert redact(f"paid with {number}, thanks") == f"paid with {REDACTED}, thanks"
    assert redact(number) == REDACTED


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112 is no card",  # its check digit is wrong
        "0.4111111111111111 is a number", "ids 41111111111111110 and 14111111111111111", "at 1700000000000 ms",
        "run 4111111111111111a0", "file_4111111111111111", "4111111111111111.5 is measured",
        "2024-01-01 and 123-45-678 and 12-345-6789", "000-12-3456, 666-12-3456, 912-12-3456, 123-00-4567, 123-45-0000",
        "0123456789abcdef0123456789abcdef01234567", "0123456789ABCDEF0123456789ABCDEF01234567",
        "/home/User1/data/Project2/models/Version3", "x" * 40,
    ],
)  # fmt: skip
def test_numbers_and_digests_that_are_no_secrets_stay(text: str) -> None:
    assert redact(text) == text


def test_social_security_numbers_are_taken_out() -> None:
    assert redact("her number is 123-45-6789.") == f"her number is {REDACTED}."
    assert redact("123-45-6789") == REDACTED


def test_a_bare_secret_key_of_aws_is_taken_out() -> None:
    key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    assert redact(f"it is {key} I think") == f"it is {REDACTED} I think"
    assert redact(f'["AKIAIOSFODNN7EXAMPLE","{key}"]') == f'["{REDACTED}","{REDACTED}"]'
