"""The settings as JSON: without their secrets, to be kept; and with them, for a process of ours.

What is secret is said by its type, `SecretStr`, wherever in the tree it stands.
"""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from pydantic_core import to_jsonable_python

from .section import Section


def without_secrets(settings: Section) -> dict[str, Any]:
    """All fields but those that hold a secret."""
    tree: dict[str, Any] = to_jsonable_python(_open(settings))
    return tree


def revealed(settings: Section) -> dict[str, Any]:
    """All fields, secrets in plain text: for the environment of a child, which is readable by its owner only."""
    tree: dict[str, Any] = to_jsonable_python(_plain(settings.model_dump()))
    return tree


def secret_values(node: Any) -> list[str]:
    """Every secret in plain text, of the settings or of a part of them."""
    if isinstance(node, SecretStr):
        return [node.get_secret_value()]
    if isinstance(node, Section):
        node = dict(node)
    if isinstance(node, dict):
        node = list(node.values())
    return [each for item in node for each in secret_values(item)] if isinstance(node, list | tuple) else []


def _open(section: Section) -> dict[str, Any]:
    return {
        name: _open(item) if isinstance(item, Section) else item
        for name, item in section
        if isinstance(item, Section) or not secret_values(item)
    }


def _plain(node: Any) -> Any:
    if isinstance(node, SecretStr):
        return node.get_secret_value()
    if isinstance(node, dict):
        return {name: _plain(item) for name, item in node.items()}
    return [_plain(item) for item in node] if isinstance(node, list | tuple) else node
