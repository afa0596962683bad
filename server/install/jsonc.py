"""JSON as editors keep it, with comments and trailing commas: read, and changed with the rest of the text untouched."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from .errors import InstallError

GAP = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
# What may stand behind a value on its line, and belongs to it.
REST_OF_LINE = re.compile(r"(?:[ \t]|/\*[^\n]*?\*/)*(?://[^\r\n]*)?")
STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
SCALAR = re.compile(r"-?\d[\d.eE+-]*|true|false|null")
INDENT = re.compile(r"^([ \t]+)\S", re.MULTILINE)


@dataclass(frozen=True)
class Node:
    """A value and where it stands; `members` are those of an object, `comma` is where one follows it."""

    value: object
    start: int
    end: int
    members: tuple[Member, ...] = ()
    comma: int | None = None

    def member(self, key: str) -> Member | None:
        """The one that readers take: the last of its name."""
        return next((member for member in reversed(self.members) if member.key == key), None)


@dataclass(frozen=True)
class Member:
    key: str
    start: int
    node: Node

    @property
    def end(self) -> int:
        """Behind the value, or behind the comma that follows it."""
        return self.node.end if self.node.comma is None else self.node.comma + 1


def load(text: str) -> object:
    """The value of a document.

    Raises:
        InstallError: it is no JSON, and at which line.
    """
    try:
        return json.loads(text)  # several times faster, and most files are plain JSON
    except (ValueError, RecursionError):
        return parse(text).value


def parse(text: str) -> Node:
    """The tree of a document; one of nothing but comments is an empty object without a place.

    Raises:
        InstallError: it is no JSON, and at which line.
    """
    reader = Reader(text)
    start = reader.gap(0)
    if start == len(text):
        return Node({}, start, start)
    try:
        node = reader.value(start)
    except RecursionError as error:
        raise reader.wrong(start, "it is nested too deeply") from error
    if reader.gap(node.end) != len(text):
        raise reader.wrong(reader.gap(node.end), "something follows the end")
    return node


@dataclass(frozen=True)
class Reader:
    """Walks a text; positions go in, nodes come out."""

    text: str

    def gap(self, at: int) -> int:
        found = GAP.match(self.text, at)
        return found.end() if found else at

    def value(self, at: int) -> Node:
        opening = self.text[at : at + 1]
        if opening == "{":
            return self._object(at)
        if opening == "[":
            return self._array(at)
        found = STRING.match(self.text, at) or SCALAR.match(self.text, at)
        if not found:
            raise self.wrong(at, "a value is expected")
        return Node(self._loaded(found[0], at), at, found.end())

    def _object(self, at: int) -> Node:
        members: list[Member] = []
        here = self.gap(at + 1)
        while self.text[here : here + 1] != "}":
            member = self._member(here)
            members.append(member)
            here = self._after(member.node, "}")
        return Node({member.key: member.node.value for member in members}, at, here + 1, tuple(members))

    def _member(self, at: int) -> Member:
        key = STRING.match(self.text, at)
        if not key:
            raise self.wrong(at, "a name in double quotes is expected")
        colon = self.gap(key.end())
        if self.text[colon : colon + 1] != ":":
            raise self.wrong(colon, "a colon is expected")
        node = self.value(self.gap(colon + 1))
        behind = self.gap(node.end)
        comma = behind if self.text[behind : behind + 1] == "," else None
        return Member(str(self._loaded(key[0], at)), at, Node(node.value, node.start, node.end, node.members, comma))

    def _array(self, at: int) -> Node:
        values: list[object] = []
        here = self.gap(at + 1)
        while self.text[here : here + 1] != "]":
            node = self.value(here)
            values.append(node.value)
            behind = self.gap(node.end)
            comma = behind if self.text[behind : behind + 1] == "," else None
            here = self._after(Node(node.value, node.start, node.end, comma=comma), "]")
        return Node(values, at, here + 1)

    def _after(self, node: Node, closing: str) -> int:
        here = self.gap(node.end if node.comma is None else node.comma + 1)
        if node.comma is None and self.text[here : here + 1] != closing:
            raise self.wrong(here, f"a comma or {closing} is expected")
        return here

    def _loaded(self, part: str, at: int) -> object:
        try:
            return json.loads(part)
        except ValueError as error:
            raise self.wrong(at, "this is no JSON value") from error

    def wrong(self, at: int, reason: str) -> InstallError:
        return InstallError(f"line {self.text.count(chr(10), 0, at) + 1}: {reason}")


def put(text: str, path: tuple[str, ...], value: object) -> str:
    """The text with a value at a path; objects on the way that are missing are made."""
    node = parse(text)
    if node.start == node.end:
        return text + dumped(_nested(path, value), text, "") + newline(text)
    for depth, key in enumerate(path):
        member = node.member(key)
        if member is None:
            return _appended(text, node, key, _nested(path[depth + 1 :], value))
        node = member.node
    indent = _indent_of_line(text, node.start)
    return text[: node.start] + dumped(value, text, indent) + text[node.end :]


def drop(text: str, path: tuple[str, ...]) -> str:
    """The text without what stands at a path, which exists."""
    node = parse(text)
    for key in path[:-1]:
        node = _member_of(node, key).node
    gone = _member_of(node, path[-1])
    before = max((member for member in node.members if member.start < gone.start), key=lambda m: m.start, default=None)
    start = _end_of_line(text, before.end if before else node.start + 1, gone.start)
    kept = text[:start] + text[gone.end :]
    if before and before.node.comma is not None and gone.node.comma is None:
        kept = kept[: before.node.comma] + kept[before.node.comma + 1 :]
    return _closed(kept, start) if len(node.members) == 1 else kept


def _appended(text: str, node: Node, key: str, value: object) -> str:
    last = node.members[-1] if node.members else None
    inline = "\n" not in text[node.start : node.end] and last is not None
    outer = _indent_of_line(text, node.start)
    inner = "" if inline else outer + unit(text)
    written = f"{json.dumps(key, ensure_ascii=False)}: {dumped(value, text, inner, inline)}"
    at = _end_of_line(text, last.end if last else node.start + 1, node.end - 1)
    behind = text[at:]
    if last and last.node.comma is not None:
        written += ","
    separator = " " if inline else newline(text) + inner
    if not last:
        behind = newline(text) + outer + behind.lstrip() if not text[at : node.end - 1].strip() else behind
    head = text[:at]
    if last and last.node.comma is None:
        head = head[: last.node.end] + "," + head[last.node.end :]
    return head + separator + written + behind


def _closed(text: str, at: int) -> str:
    """An object that has become empty closes where it opens, unless a comment stands in it."""
    rest = text[at:].lstrip()
    return text[:at] + rest if rest.startswith("}") and text[:at].endswith("{") else text


def dumped(value: object, text: str, indent: str, inline: bool = False) -> str:
    """JSON in the manner of the text: its indent and line ends."""
    if inline:
        return json.dumps(value, ensure_ascii=False)
    lines = json.dumps(value, ensure_ascii=False, indent=unit(text)).split("\n")
    return (newline(text) + indent).join(lines)


def newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def unit(text: str) -> str:
    """What one level is indented by: the first indent there is."""
    found = INDENT.search(text)
    return found[1] if found else "  "


def _nested(path: tuple[str, ...], value: object) -> object:
    for key in reversed(path):
        value = {key: value}
    return value


def _member_of(node: Node, key: str) -> Member:
    member = node.member(key)
    if member is None:
        raise KeyError(key)
    return member


def _end_of_line(text: str, at: int, limit: int) -> int:
    """Behind the comments that follow on the line, which belong to what stands before them."""
    found = REST_OF_LINE.match(text, at, limit)
    end = found.end() if found else at
    return end if text[end : end + 1] in ("\n", "\r") else at


def _indent_of_line(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip())]
