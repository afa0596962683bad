"""Text that comes from data, as it may be shown: without what terminals, editors or readers take for more than text.

Column names, values, tags and descriptions are anybody's. The data itself stays as it is.
"""

from __future__ import annotations

import math
import re
from typing import Any

# What chooses between forms of the character before, and what joins or parts letters: in a script that has such forms.
# Elsewhere, or one after the other, they are text that nobody sees.
SELECTORS, JOINERS = r"\ufe00-\ufe0f\u180b-\u180d\u180f\U000e0100-\U000e01ef", r"\u200c\u200d"
# Sequences of terminals (ECMA-48: strings such as OSC, then CSI, then the short ones), a carriage return that lets a
# line be written over, control characters but tab and line feed, marks of direction (Unicode UAX #9), characters that
# are not drawn (Default_Ignorable_Code_Point, UAX #44), and tags (U+E0000), in which whole sentences can be hidden.
HIDDEN = re.compile(
    r"\x1b\][^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[PX^_][^\x1b\x9c]{0,4096}(?:\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]?"
    r"|\x1b[ -/]{0,8}[0-~]?"
    r"|\r(?!\n)"
    rf"|(?<![0-9#*\x80-\U0010ffff])[{SELECTORS}]|(?<=[{SELECTORS}{JOINERS}])[{SELECTORS}]"
    rf"|(?<![\x80-\U0010ffff])[{JOINERS}]|(?<=[{JOINERS}])[{JOINERS}]"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"
)

# What a spreadsheet takes for the beginning of a formula, also in the wide forms of East Asia (OWASP, CSV Injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def legible(text: str) -> str:
    """The text without what is hidden in it; line feeds and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    while (shown := HIDDEN.sub("", text)) != text:  # what is taken out no longer parts what stands around it
        text = shown
    return text


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
