"""The settings as tables of Markdown, from the shipped defaults and the comments beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

BEGIN, END = "<!-- settings:begin -->", "<!-- settings:end -->"
KEY = re.compile(r"^(?P<indent> *)(?P<key>[a-z_]+):(?P<rest>.*)$")
COMMENT = re.compile(r"(?:^|\s)# (?P<text>.*)$")


@dataclass
class Entry:
    """A setting in the order of the file; `said` are the lines of its comment."""

    section: str
    key: str
    said: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}" if self.section else self.key


def with_settings(document: str, defaults: str) -> str:
    """The document with its tables brought up to date between the markers."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([f"{before}{BEGIN}", *tables(defaults), f"{END}{after}"]) if rest else document


def tables(defaults: str) -> Iterator[str]:
    values, section = yaml.safe_load(defaults), None
    for entry in entries(defaults):
        if entry.section != section:
            section = entry.section
            yield from ("", f"### {section or 'at the top'}", "", "| setting | default | what it is |", "|---|---|---|")
        value = values[entry.section][entry.key] if entry.section else values[entry.key]
        yield f"| `{entry.name}` | {shown(value)} | {cell(' '.join(entry.said))} |"
    yield ""


def entries(defaults: str) -> Iterator[Entry]:
    """What is nested deeper than a section's keys belongs to the value of the key above it."""
    section, entry = "", None
    for line in defaults.splitlines():
        found = KEY.match(line)
        depth = len(found["indent"]) if found else 0
        if found and depth == 0 and not found["rest"].split("#")[0].strip():
            section = found["key"]
            yield from [entry] if entry else []
            entry = None
        elif found and depth in (0, 2):
            yield from [entry] if entry else []
            entry = Entry(section if depth else "", found["key"], comment(found["rest"]))
        elif entry and not found and line.startswith(" " * 20):
            entry.said += comment(line)
    yield from [entry] if entry else []


def comment(text: str) -> list[str]:
    found = COMMENT.search(text)
    return [found["text"].strip()] if found else []


def shown(value: Any) -> str:
    if value in ("", [], {}):
        return "empty"
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`".replace("|", "\\|")


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
