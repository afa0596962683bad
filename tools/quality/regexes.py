"""Regular expressions that mean the same to Python and to RE2, which DuckDB has.

The two differ in `$`, in the classes beyond ASCII, in what may be repeated, and in all that RE2 lacks (references,
looking around, atomic groups): https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Of ASCII, Python takes the separators 1c to 1f for spaces as well.
CLASSES = {r"\d": "0-9", r"\w": "0-9A-Za-z_", r"\s": r"\x09-\x0d\x1c-\x20"}
ESCAPED = r"\\[^\w\s]"
MEMBER = re.compile(rf"\\[dws]|[0-9A-Za-z]-[0-9A-Za-z]|{ESCAPED}|[^\\\[\]&~|-]|-(?=\])")
TOKEN = re.compile(
    rf"(?P<members>\[\^?(?:{MEMBER.pattern})+\])|(?P<named>\\[dws])|(?P<plain>{ESCAPED}|[^\\\[\](){{}}*+?|^$])"
    r"|(?P<open>\((?:\?:|(?!\?)))|(?P<close>\))|(?P<either>\|)"
    r"|(?P<times>(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})\??(?![+*?{]))"
)
CLASSED = ("members", "named")
REPEATABLE = ("members", "named", "plain", "close")


@dataclass(frozen=True)
class Pattern:
    """A pattern for RE2; `ascii` if it means the same only of text that is plain ASCII."""

    text: str
    ascii: bool


def for_re2(pattern: str) -> Pattern | None:
    """The same pattern, as far as one looks for it anywhere in a text; None where that is not sure."""
    if not (pattern.isascii() and pattern.isprintable()):
        return None
    start = "^" if pattern.startswith("^") else ""
    ends = pattern.endswith("$") and not pattern.endswith(r"\$")
    made, ascii_only = list[str](), False
    for kind, token in _tokens(pattern[len(start) : -1 if ends else None]):
        told = MEMBER.sub(lambda found: CLASSES.get(found[0], found[0]), token) if kind in CLASSED else token
        ascii_only |= told != token
        made.append(f"[{told}]" if kind == "named" else told)
        if not kind:
            return None
    # Python's `$` stands before a last line break too; nothing follows it here, so that it may be consumed.
    return Pattern("".join([start, *made, r"(?:\n?\z)" if ends else ""]), ascii_only)


def _tokens(body: str) -> Iterator[tuple[str, str]]:
    """The parts of a pattern by their kinds; one without a kind is none that both read alike."""
    place, last = 0, ""
    while place < len(body):
        found = TOKEN.match(body, place)
        if found is None or (found.lastgroup == "times" and last not in REPEATABLE):
            yield "", ""
            return
        last, place = str(found.lastgroup), found.end()
        yield last, found[0]
