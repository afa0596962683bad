"""What is secret is said by the type of a field, wherever it stands."""

from __future__ import annotations

from pydantic import SecretStr

from mlops_mcp.config.secrets import revealed, secret_values, without_secrets
from mlops_mcp.config.section import Section
from mlops_mcp.config.settings import Settings


class Inner(Section):
    token: SecretStr
    port: int


class Tree(Section):
    inner: Inner
    several: tuple[SecretStr, ...]
    by_name: dict[str, SecretStr]
    maybe: SecretStr | None
    names: tuple[str, ...]


TREE = Tree(
    inner=Inner(token=SecretStr("one"), port=1),
    several=(SecretStr("two"), SecretStr("three")),
    by_name={"a": SecretStr("four")},
    maybe=SecretStr("five"),
    names=("x", "y"),
)


def test_no_secret_is_kept_wherever_it_stands_and_all_else_is() -> None:
    assert without_secrets(TREE) == {"inner": {"port": 1}, "names": ["x", "y"]}


def test_every_secret_reaches_a_child_wherever_it_stands() -> None:
    assert Tree.model_validate(revealed(TREE)) == TREE
    assert secret_values(TREE) == ["one", "two", "three", "four", "five"]


def test_the_settings_without_secrets_are_those_that_pydantic_shows_but_for_the_secrets(settings: Settings) -> None:
    shown = settings.model_dump(mode="json")
    del shown["opik"]["api_key"], shown["runtime"]["job_store"]
    del shown["storage"]["database"], shown["bentocloud"]["api_key"]
    assert without_secrets(settings) == shown
    assert Settings.model_validate(revealed(settings)) == settings
