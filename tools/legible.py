"""Text that comes from data, as it may be shown: without what terminals, editors or readers take for more than text.

Column names, values, tags and descriptions are anybody's. The data itself stays as it is.
"""

from __future__ import annotations

import math
import re
from typing import Any

# Sequences of terminals (ECMA-48: strings such as OSC, then CSI, then the short ones), a carriage return that lets a
# line be written over, control characters but tab and line feed, marks of direction (Unicode UAX #9), characters
# without a width, and tags (U+E0000), in which whole sentences can be hidden.
HIDDEN = re.compile(
    r"\x1b\][^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[PX^_][^\x1b\x9c]{0,4096}(?:\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]?"
    r"|\x1b[ -/]{0,8}[0-~]?"
    r"|\r(?!\n)"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\U000e0000-\U000e007f]"
)

# What a spreadsheet takes for the beginning of a formula, also in the wide forms of East Asia (OWASP, CSV Injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def legible(text: str) -> str:
    """The text without what is hidden in it; line feeds and tabs stay."""
    return text if text.isprintable() else HIDDEN.sub("", text)


def inert(text: str) -> str:
    """The text as a cell that every spreadsheet shows and none calculates; what is a number stays one."""
    return f"'{text}" if text.startswith(FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and not text[0].isspace()
    except ValueError:
        return False


def legible_parts(node: Any) -> Any:
    """A copy of JSON-like data whose texts, keys among them, are legible; keys that become the same stay apart."""
    if isinstance(node, str):
        return legible(node)
    if isinstance(node, dict):
        return _mapping(node)
    return [legible_parts(item) for item in node] if isinstance(node, list) else node


def _mapping(node: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for key, item in node.items():
        name = legible(key)
        while name in shown:
            name += "'"
        shown[name] = legible_parts(item)
    return shown
