"""Where a delimited file has its header, what separates and quotes its cells, and what its columns are called."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO

from ..errors import ToolFailure
from .bounds import named
from .models import ReadOptions

SEPARATORS = {",": "','", ";": "';'", "\t": "tab", "|": "'|'"}
# They separate only where nothing else does and a column of numbers comes out: they occur in times and in prose.
RARE = {" ": "spaces", ":": "':'", "^": "'^'", "~": "'~'", "\x01": "control character 1"}
HEAD = 1 << 18
SAMPLE = 50
NUMERIC = re.compile(r"\s*[-+]?(\d+([.,]\d+)*|[.,]\d+)([eE][-+]?\d+)?\s*%?\s*")
WHOLE = re.compile(r"\s*\d+\s*")
DATE = re.compile(r"\s*\d{4}-\d\d?-\d\d?\b.*|\s*\d\d?[./-]\d\d?[./-]\d{4}\b.*")
PRINTED = re.compile(rb"\S")
YEAR = re.compile(r"(19|20)\d\d")
SEP_LINE = re.compile(rb'"?sep=(.)"?\r?\n', re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """How the body is cut into cells, where it begins, and the names of its columns in their order."""

    separator: str
    quote: str
    names: tuple[str, ...]
    body: bytes
    first_line: int
    unnamed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def delimiter(self) -> str:
        return (SEPARATORS | RARE).get(self.separator, repr(self.separator))


def layout_of(name: str, data: bytes, usual: str, options: ReadOptions) -> Layout:
    """Found in the first lines of UTF-8 text, or given by the options.

    Raises:
        ToolFailure: nothing to read, or lines that can be read in two ways.
    """
    data = data.replace(b"\r", b"\n") if b"\r" in data and b"\n" not in data else data
    start, marked, notes = _top(name, data, options)
    lines = _first_lines(data, start)
    separator = options.separator or marked or _separator(lines, usual)
    if len(separator) != 1:
        raise ToolFailure(f"separator {separator!r} is not one character", "Pass one, e.g. ';' or a tab.")
    quote = _quote(lines, separator, options.quote)
    if separator == " ":
        data, start, lines = _single_spaced(data[start:]), 0, _single_spaced(lines.encode()).decode()
    records = cells_of(lines, separator, quote, spaced=True)
    header, rows = records[0], records[1 : SAMPLE + 1]
    if options.header is None and len(header) > 2 and sum(bool(cell.strip()) for cell in header) == 1:
        raise ToolFailure(
            f"the first line names 1 of {len(header)} columns: {named([cell for cell in header if cell.strip()])}",
            "Pass options={'skip_rows': ...} for lines above the header, or header=true.",
        )
    if _has_header(header, rows, options.header):
        body = data[start + _length_of_first(data[start:], separator, quote) :]
    else:
        header, rows, body = [f"column_{place}" for place in range(1, len(header) + 1)], records[:SAMPLE], data[start:]
        notes.append("the first line holds values, so columns are called column_1, …; header=true takes it as names")
    if quote == "'" and not options.quote:
        notes.append("cells are quoted by '")
    names, unnamed, said = _names(_fitted(header, rows))
    first_line = data.count(b"\n", 0, len(data) - len(body)) + 1
    return Layout(separator, quote, names, body, first_line, unnamed, (*notes, *said))


def cells_of(text: str, separator: str, quote: str, spaced: bool = False) -> list[list[str]]:
    """The records of a piece of text, which may be `spaced` after separators; blank lines are none."""
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(
        StringIO(text, newline=""),
        delimiter=separator,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        skipinitialspace=spaced,
    )
    return [record for record in reader if record]


def _top(name: str, data: bytes, options: ReadOptions) -> tuple[int, str, list[str]]:
    """Where the header begins, the separator that a line of Excel's names, and what was skipped."""
    start, notes = 0, list[str]()
    for _ in range(options.skipped):
        start = data.find(b"\n", start) + 1 or len(data)
    named_by = SEP_LINE.match(data, start)
    start = named_by.end() if named_by else start
    notes += ["the line sep= names the delimiter"] if named_by else []
    after = _after_comments(data, start) if options.header is None and not options.skipped else start
    if after > start:
        skipped = data.count(b"\n", start, after)
        notes.append(f"{skipped} comment lines above the header skipped")
    if not PRINTED.search(data, after):
        raise ToolFailure(f"{name} holds no lines to read", "Pass another file, or fewer skip_rows.")
    return after, named_by.group(1).decode() if named_by else "", notes


def _after_comments(data: bytes, start: int) -> int:
    """Past the lines that begin with '#', unless they have as many separators as the line after them: a header."""
    end, last = start, b""
    while data.startswith(b"#", end):
        stop = data.find(b"\n", end) + 1 or len(data)
        last, end = data[end:stop], stop
    following = data[end : data.find(b"\n", end) + 1 or len(data)]
    separators = [mark.encode() for mark in SEPARATORS]
    alike = any(last.count(mark) == following.count(mark) > 0 for mark in separators)
    return end - len(last) if alike else end


def _first_lines(data: bytes, start: int) -> str:
    """The head of the text from its first line that is not blank, up to its last whole line."""
    head = data[start : start + HEAD]
    if start + HEAD < len(data) and b"\n" in head:
        head = head[: head.rindex(b"\n") + 1]
    return head.decode(errors="ignore").lstrip("\n\r")


def _separator(lines: str, usual: str) -> str:
    """The mark that cuts the header and the first rows into equally many cells, the most where several do."""
    found = [(*_agreement(lines, mark), mark) for mark in SEPARATORS]
    found = sorted((item for item in found if item[1] > 1), reverse=True)
    if len(found) > 1 and found[0][:2] == found[1][:2] and found[0][0] == 1:
        both = " or ".join((SEPARATORS | RARE)[item[2]] for item in found[:2])
        raise ToolFailure(
            f"the separator may be {both}: each makes {found[0][1]} columns", "Pass options={'separator': ...}."
        )
    if found:
        return found[0][2]
    return next((mark for mark in RARE if _separates(lines, mark)), usual)


def _agreement(lines: str, mark: str) -> tuple[float, int]:
    """The share of the first rows that have as many cells as the header, and how many it has."""
    header, *rows = (len(record) for record in cells_of(lines, mark, '"', spaced=True)[: SAMPLE + 1])
    return (sum(width == header for width in rows) / len(rows) if rows else 1.0), header


def _separates(lines: str, mark: str) -> bool:
    text = _single_spaced(lines.encode()).decode() if mark == " " else lines
    header, *rows = cells_of(text, mark, '"')[: SAMPLE + 1]
    if len(header) < 2 or not rows or any(len(row) != len(header) for row in rows):
        return False
    return any(all(NUMERIC.fullmatch(cell) for cell in column) for column in zip(*rows, strict=True))


def _single_spaced(data: bytes) -> bytes:
    """Columns that are aligned by runs of spaces, with one space between them."""
    return re.sub(rb"(?m)^[ \t]+|[ \t]+(?=\r?$)", b"", re.sub(rb"[ \t]{2,}", b" ", data))


def _quote(lines: str, separator: str, wanted: str) -> str:
    """The double quote; the single one where it encloses cells in each row and does nothing else."""
    if wanted:
        if len(wanted) != 1 and wanted != "none":
            raise ToolFailure(f"quote {wanted!r} is neither a character nor 'none'", "Pass one, e.g. '\"'.")
        return "" if wanted == "none" else wanted
    mark = re.escape(separator)
    cell = re.compile(rf"(?:(?<={mark})|^)'[^']*'(?={mark}|$)")
    rows = [line.rstrip("\r") for line in lines.split("\n")[1 : SAMPLE + 1] if line.strip()]
    quoted = [(cell.search(row) is not None, cell.sub("", row)) for row in rows]
    single = rows and all(found and "'" not in rest and '"' not in rest for found, rest in quoted)
    return "'" if single else '"'


def _length_of_first(data: bytes, separator: str, quote: str) -> int:
    """The bytes of the first record: one line, or more where a quoted name holds a line break."""
    mark, around = re.escape(separator.encode()), re.escape(quote.encode())
    quoted = rb"(?:%s(?:[^%s]|%s%s)*%s)" % (around, around, around, around, around) if quote else rb"(?!)"
    record = re.compile(rb"[\r\n]*(?:%s|[^\n]*?)(?:%s(?:%s|[^\n]*?))*?(?:\n|\Z)" % (quoted, mark, quoted))
    found = record.match(data)
    return found.end() if found else len(data)


def _has_header(header: Sequence[str], rows: Sequence[Sequence[str]], wanted: bool | None) -> bool:
    """Whether the first line names columns: names of columns of numbers are no numbers.

    Raises:
        ToolFailure: whole numbers that may be names, such as years, or values.
    """
    if wanted is not None:
        return wanted
    numbers = [place for place, cell in enumerate(header) if NUMERIC.fullmatch(cell)]
    dates = [place for place, cell in enumerate(header) if DATE.fullmatch(cell)]
    if not numbers and not dates:
        return True
    labels = [header[place].strip() for place in numbers]
    counted = labels == [str(number) for number in range(len(labels))]
    if counted and (len(labels) == len(header) or not header[0].strip()):
        return True
    below = [place for place in range(len(header)) if _all(rows, place, NUMERIC)]
    timed = [place for place in range(len(header)) if _all(rows, place, DATE)]
    if set(below) - set(numbers) or set(timed) - set(dates):
        return True
    values = dates or len(set(labels)) < len(labels) or any(not WHOLE.fullmatch(label) for label in labels)
    years = all(YEAR.fullmatch(label) for label in labels)
    if values or (len(numbers) == len(header) and not years):
        return False
    raise ToolFailure(
        f"the first line may be names or values: {named(header)}",
        "Pass options={'header': true} if it names the columns, or false.",
    )


def _all(rows: Sequence[Sequence[str]], place: int, pattern: re.Pattern[str]) -> bool:
    cells = [row[place] for row in rows if len(row) > place and row[place].strip()]
    return bool(cells) and all(pattern.fullmatch(cell) for cell in cells)


def _fitted(header: list[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The header with a name for each cell: without that of a trailing separator, or with one for what names rows."""
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        return header
    width = widths.pop()
    if width == len(header) - 1 and not header[-1].strip():
        return header[:-1]
    if width == len(header) + 1:
        if all(not row[-1].strip() for row in rows):
            return [*header, ""]
        first = [row[0] for row in rows]
        counted = first in ([str(row) for row in range(begin, begin + len(rows))] for begin in (0, 1))
        named_rows = len(set(first)) == len(first) and not any(NUMERIC.fullmatch(cell) for cell in first)
        if len(header) > 1 and len(rows) > 1 and (counted or named_rows):
            return ["", *header]
    return header


def _names(header: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...], list[str]]:
    """Distinct names that every tool can take, those among them that the file does not give, and what was changed."""
    cleaned = [name.strip().replace("`", "") for name in header]
    blank = [place for place, name in enumerate(cleaned) if not name]
    for place in blank:
        cleaned[place] = "index" if place == 0 else f"column_{place + 1}"
    names = distinct(cleaned)
    changed = {f"'{old}' → {new}" for old, new in zip(header, names, strict=True) if old.strip() and old.strip() != new}
    notes = [f"columns renamed, to be distinct and free of backticks: {named(sorted(changed))}"] if changed else []
    return tuple(names), tuple(names[place] for place in blank), notes


def distinct(names: Sequence[str]) -> list[str]:
    """The second `a` is a_2, unless there is one already."""
    taken, made, seen = set(names), list[str](), set[str]()
    for name in names:
        new, number = name, 2
        while new in seen or (new != name and new in taken):
            new, number = f"{name}_{number}", number + 1
        seen.add(new)
        made.append(new)
    return made
