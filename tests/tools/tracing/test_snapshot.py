"""What a span keeps: bounded, JSON-ready and free of secrets."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from mlops_mcp.tools.tracing.redaction import REDACTED, redact
from mlops_mcp.tools.tracing.snapshot import MAX_CHARACTERS, MAX_TEXT, snapshot

SECRETS = {
    "password of a database": ("postgresql://mlflow:hunter2secret@db:5432/mlflow", "hunter2secret"),
    "password without a user": ("redis://:hunter2secret@cache:6379/0", "hunter2secret"),
    "password with an at sign": ("mysql://root:hunter2@secret@db/x", "hunter2@secret"),
    "user and password of a web address": ("https://bot:hunter2secret@example.org/x", "hunter2secret"),
    "JSON web token": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dBjftJeZ4CVP", "eyJzdWIiOiIxMjM0NTY3ODkwIn0"),
    "Anthropic key": ("key sk-ant-api03-Abcdef0123456789_XYZ-abc", "Abcdef0123456789_XYZ-abc"),
    "OpenAI key": ("sk-proj-Abcdef0123456789Abcdef", "Abcdef0123456789Abcdef"),
    "Stripe key": ("sk_live_51Abcdef0123456789", "51Abcdef0123456789"),
    "GitHub token": ("ghp_Abcdef0123456789Abcdef0123456789", "Abcdef0123456789"),
    "GitHub fine-grained token": ("github_pat_11Abcdef0123456789_Abcdef", "Abcdef0123456789"),
    "GitLab token": ("glpat-Abcdef0123456789Abcd", "Abcdef0123456789Abcd"),
    "Slack token": ("xoxb-123456789012-Abcdef0123456789", "Abcdef0123456789"),
    "Slack web hook": ("https://hooks.slack.com/services/T0001/B0001/Abcdef0123456789", "Abcdef0123456789"),
    "Hugging Face token": ("hf_Abcdef0123456789Abcdef0123456789", "Abcdef0123456789"),
    "npm token": ("npm_Abcdef0123456789Abcdef0123456789", "Abcdef0123456789"),
    "PyPI token": ("pypi-AgEIcHlwaS5vcmcCJDAbcdef0123456789", "AgEIcHlwaS5vcmcCJDAbcdef0123456789"),
    "AWS key id": ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7EXAMPLE"),
    "AWS secret": ("aws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMIK7MDENG"),
    "AWS signature": ("https://b.s3.amazonaws.com/k?X-Amz-Signature=0123456789abcdef0123", "0123456789abcdef0123"),
    "Google key": ("AIzaSyA-0123456789abcdefghijklmnopqrstuv", "SyA-0123456789abcdefghijklmnopqrstuv"),
    "Databricks token": ("dapi0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
    "Azure account key": ("AccountName=x;AccountKey=Abcdef0123456789==;", "Abcdef0123456789"),
    "bearer header": ("Authorization: Bearer Abcdef0123456789.x", "Abcdef0123456789"),
    "basic header": ("Authorization: Basic dXNlcjpodW50ZXIyc2VjcmV0", "dXNlcjpodW50ZXIyc2VjcmV0"),
    "password in words": ("login failed with password='hunter2secret'", "hunter2secret"),
    "private key": ("-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----", "MIIEabc"),
}
HARMLESS = (
    "dataset:loans@3f2a9c81d0be",
    "models:/credit/1",
    "https://example.org/a:b/c@d",
    "run:8f14e45fceea167a5a36dedd4bea2543",
    "the token count of a basic tokenizer is 12",
    "x AS task-force-0123456789-abcdefgh",
    "person_age >= 18 and secret_ingredient",
)


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=list(SECRETS))
def test_a_secret_is_recognised_by_its_shape(text: str, secret: str) -> None:
    for kept in (redact(text), json.dumps(snapshot({"note": [f"see {text} there"]}))):
        assert secret not in kept
        assert REDACTED in kept


@pytest.mark.parametrize("text", HARMLESS)
def test_a_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "name", ["api_key", "apiKey", "password", "AWS_SECRET_ACCESS_KEY", "Authorization", "token", "passwd", "cookie"]
)
def test_a_secret_is_recognised_by_its_name(name: str) -> None:
    assert snapshot({name: "x", "rows": 3}) == {name: REDACTED, "rows": 3}


def test_a_secret_that_the_cut_would_split_does_not_show() -> None:
    assert "ghp_" not in snapshot("x" * (MAX_TEXT - 10) + " ghp_Abcdef0123456789Abcdef0123456789")


def test_half_of_a_word_that_the_cut_splits_is_left_out_as_it_may_be_half_of_a_secret() -> None:
    copy = snapshot(f"{'x' * (MAX_TEXT - 20)} EMPLOYEE-0123456789-0123456789")
    assert copy == f"{'x' * (MAX_TEXT - 20)} ... ({MAX_TEXT + 11} characters)"


@pytest.mark.parametrize("key", ["name", "key"])
def test_a_header_is_recognised_by_the_name_next_to_its_value(key: str) -> None:
    header = {key: "X-Api-Key", "value": "abc"}
    assert snapshot([header, {key: "Accept", "value": "text"}]) == [
        {key: "X-Api-Key", "value": REDACTED},
        {key: "Accept", "value": "text"},
    ]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ([["X-Api-Key", "v"], ["Accept", "x"]], [["X-Api-Key", REDACTED], ["Accept", "x"]]),
        ({"headers": [("Authorization", "v")]}, {"headers": [["Authorization", REDACTED]]}),
        (("X-Api-Key", "v"), ["X-Api-Key", REDACTED]),
        (["curl", "-u", "me:pw"], ["curl", "-u", REDACTED]),
        (["login", "--password", "v"], ["login", "--password", REDACTED]),
        ({"auth": "v"}, {"auth": REDACTED}),
        ({"basic_auth": ["u", "p"], "token": "v"}, {"basic_auth": REDACTED, "token": REDACTED}),
        ({"auth": True, "author": "x"}, {"auth": True, "author": "x"}),
        (["password", "email"], ["password", "email"]),
    ],
)
def test_a_secret_is_recognised_by_what_stands_before_it(value: Any, kept: Any) -> None:
    assert snapshot(value) == kept


def test_secret_strings_of_settings_never_show() -> None:
    assert snapshot([SecretStr("hunter2")]) == [REDACTED]


def test_what_json_does_not_know_becomes_text() -> None:
    class Colour(enum.Enum):
        RED = 1

    copy = snapshot([float("nan"), float("-inf"), b"abc", Colour.RED, datetime.now(UTC), {1, 2}, object()])
    assert json.loads(json.dumps(copy, allow_nan=False))[:3] == ["nan", "-inf", "<3 bytes>"]


def test_a_long_list_is_cut_and_says_how_much_is_missing() -> None:
    copy = snapshot(list(range(100_000)))
    assert len(copy) < 1600
    assert copy[-1] == f"... {100_000 - len(copy) + 1} more"


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    assert snapshot("a" * 100_000) == "a" * MAX_TEXT + "... (100000 characters)"


def test_many_long_texts_together_stay_within_the_bound() -> None:
    assert len(json.dumps(snapshot(["a" * MAX_TEXT] * 1000))) < MAX_CHARACTERS + 20_000


def test_a_deep_value_ends_in_dots() -> None:
    deep: Any = "end"
    for _ in range(50):
        deep = [deep]
    assert "end" not in json.dumps(snapshot(deep))


def test_a_value_that_contains_itself_is_copied_as_far_as_the_bound() -> None:
    ring: list[Any] = []
    ring.append(ring)
    assert json.dumps(snapshot(ring))


def test_a_value_that_refuses_to_be_read_does_not_break_the_call() -> None:
    class Broken(Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            raise RuntimeError

        def __iter__(self) -> Iterator[str]:
            raise RuntimeError

        def __len__(self) -> int:
            return 1

    assert snapshot({"a": Broken(), "b": 1}) == {"a": "<unreadable Broken>", "b": 1}


def test_the_copy_of_a_model_does_not_follow_the_original() -> None:
    class Box(BaseModel):
        items: list[int]

    box = Box(items=[1])
    copy = snapshot(box)
    box.items.append(2)
    assert copy == {"items": [1]}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_value_becomes_valid_utf8_json(value: Any) -> None:
    json.dumps(snapshot(value), allow_nan=False, ensure_ascii=False).encode("utf-8")


def test_a_lone_surrogate_becomes_something_that_can_be_stored() -> None:
    json.dumps(snapshot({"\ud800": "\udfff"}), ensure_ascii=False).encode("utf-8")
