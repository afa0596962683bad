"""What is taken out of texts, and what is not."""

from __future__ import annotations

import re
import time

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
        "-----BEGIN PRIVATE KEY-----", "sk-", "--token ", "key=pass", "authorization: basic ", "1234567890:", " ",
    ],
)  # fmt: skip
def test_no_text_takes_long_to_look_through(piece: str) -> None:
    for text in (piece * (65_536 // len(piece)), piece + "a" * 65_536, piece + " " * 65_536):
        began = time.process_time()
        redact(text)
        assert time.process_time() - began < 0.5
