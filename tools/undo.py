"""The calls that take back what an answer says was made, in words an agent can repeat."""

from __future__ import annotations

from collections.abc import Mapping


def deletes(*handles: str | None) -> str:
    """The call that deletes one thing or several; those that are None were not made."""
    made = [handle for handle in handles if handle]
    return call("delete", handle=made[0] if len(made) == 1 else made, dry_run=False)


def call(tool: str, **arguments: object) -> str:
    """A call of a tool; arguments that are None are left out."""
    return f"{tool}({', '.join(f'{name}={_text(value)}' for name, value in arguments.items() if value is not None)})"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_text(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(each) for each in value)}]"
    return repr(value)
