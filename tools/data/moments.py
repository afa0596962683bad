"""Times as people and programs write them, from text to Arrow."""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ..errors import ToolFailure

if TYPE_CHECKING:
    import pyarrow as pa

CLOCK = (
    r"(?:(?:[Tt]|,?\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?"
    r"\s*(?P<half>[AaPp])?\.?(?:[Mm]\.?)?\s*(?P<zone>[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?$"
)
WEEKDAY = r"^(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s+)?"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NAME = r"(?P<name>(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*)\.?"
YEAR_FIRST = r"^(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})" + CLOCK
NUMERIC = r"^(?P<month>\d{1,2})(?P<mark>[./-])(?P<day>\d{1,2})[./-](?P<year>\d{4})" + CLOCK
SHORT = r"^(?P<month>\d{1,2})(?P<mark>[./])(?P<day>\d{1,2})[./](?P<year>\d{2})" + CLOCK
DAY_NAME = WEEKDAY + r"(?P<day>\d{1,2})(?:st|nd|rd|th)?[\s.-]+" + NAME + r",?[\s-]+(?P<year>\d{4})" + CLOCK
NAME_DAY = WEEKDAY + NAME + r"\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year>\d{4})" + CLOCK
OF_DAY = r"^(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?$"
# Two-digit years up to this one belong to the century that has begun, as POSIX has it.
PIVOT = 68
EPOCHS = {"s": 10**9, "ms": 10**12, "us": 10**15, "ns": 10**18}


@dataclass(frozen=True)
class Times:
    """Each distinct text as a time, null where it is none.

    `reason` tells why the column should stay text although all are times; `undecided` that day and month may be
    either; `evidence` whether the day comes first here.
    """

    values: pa.Array
    said: tuple[str, ...] = ()
    reason: str = ""
    undecided: bool = False
    evidence: bool | None = None


@dataclass(frozen=True)
class _Read:
    local: pa.Array
    offset: pa.Array
    zoned: pa.Array
    fine: bool


def times_of(words: pa.Array, day_first: bool | None, wanted: bool) -> Times:
    """Read trimmed texts as timestamp[us], in UTC where they carry offsets.

    Several ways to write a time are read together only if they cannot be mistaken, or are `wanted`; so are times with
    an offset beside times without one, which then count as UTC.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    numeric = [pc.extract_regex(words, pattern) for pattern in (NUMERIC, SHORT)]
    first, proven, short = _order(numeric, day_first)
    matched = [pc.extract_regex(words, pattern) for pattern in (YEAR_FIRST, DAY_NAME, NAME_DAY)]
    sure = [_read(parts) for parts in matched if parts.null_count < len(words)]
    unsure = [_read(parts, swap=first is not False) for parts in numeric if parts.null_count < len(words)]
    if not (read := [*sure, *unsure]):
        return Times(pa.nulls(len(words), pa.timestamp("us")))
    local = pc.coalesce(*(item.local for item in read))
    zoned = pc.coalesce(*(item.zoned for item in read), pa.scalar(False))
    offset = pc.coalesce(*(item.offset for item in read), pa.scalar(0, pa.int64()))
    known = local.is_valid()
    some, every = pc.any(pc.and_(known, zoned)).as_py(), pc.all(pc.or_(pc.invert(known), zoned)).as_py()
    ordered = any(item.local.null_count < len(words) for item in unsure)
    reason = "only some times have an offset; types 'time' takes the others for UTC" if some and not every else ""
    if ordered and any(item.local.null_count < len(words) for item in sure):
        reason = "its dates are written in several ways; types 'time' with day_first reads them"
    utc = pc.cast(pc.subtract(pc.cast(local, pa.int64()), pc.multiply(offset, 60_000_000)), pa.timestamp("us"))
    values = pc.cast(utc, pa.timestamp("us", "UTC")) if some else utc
    said = _said(ordered, first, short, some, any(item.fine for item in read))
    return Times(values, said, "" if wanted else reason, ordered and first is None, proven)


def times_by(words: pa.Array, form: str) -> pa.Array:
    """Each text as a timestamp[us] by a format of strptime, in UTC where that holds an offset; null where it fits not.

    Raises:
        ToolFailure: it names no part of a time.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if "%" not in form:
        raise ToolFailure(f"time_format {form!r} names no part of a time", "E.g. '%Y%m%d' or '%d-%b-%y %H:%M'.")
    values = pc.strptime(words, format=form, unit="us", error_is_null=True)
    return pc.cast(values, pa.timestamp("us", "UTC" if "%z" in form else None))


def _order(numeric: list[pa.StructArray], day_first: bool | None) -> tuple[bool | None, bool | None, bool]:
    """Whether the day comes first as used, as proven by these cells, and whether there are two-digit years.

    A first number above 12 proves the day, a second one the month; points are only written after a day.
    """

    one, two = (_largest(numeric, name) for name in ("month", "day"))
    short = numeric[1].null_count < len(numeric[1])
    marks = {mark for parts in numeric for mark in parts.field("mark").filter(parts.is_valid()).unique().to_pylist()}
    # 24/01/15 may begin with its year.
    proven = (
        None if one > 12 and (two > 12 or (short and "." not in marks)) else one > 12 or (False if two > 12 else None)
    )
    by_mark = True if marks == {"."} and two <= 12 else None
    used = day_first if day_first is not None else proven if proven is not None else by_mark
    return used, proven, bool(short)


def _largest(numeric: list[pa.StructArray], name: str) -> int:
    import pyarrow.compute as pc

    found = [pc.max(pc.cast(parts.field(name).filter(parts.is_valid()), "int32")).as_py() or 0 for parts in numeric]
    return max(found)


def _read(parts: pa.StructArray, swap: bool = False) -> _Read:
    """The parts of matched texts as local times with their offsets in minutes; `swap` takes the first number as day."""
    import pyarrow as pa
    import pyarrow.compute as pc

    field = {name.name: parts.field(index) for index, name in enumerate(parts.type)}
    month = (
        pc.cast(pc.add(pc.index_in(_short(field["name"]), pa.array(MONTHS)), 1), "string")
        if "name" in field
        else field["month"]
    )
    day, month = (month, field["day"]) if swap else (field["day"], month)
    date = pc.binary_join_element_wise(_year(field["year"]), _two(month), _two(day), "-")
    clock = pc.binary_join_element_wise(
        _hour(field["hour"], field["half"]), _two(field["minute"]), _two(field["second"]), ":"
    )
    fraction = pc.utf8_rpad(pc.utf8_slice_codeunits(field["fraction"], 0, 6), 6, "0")
    text = pc.binary_join_element_wise(pc.binary_join_element_wise(date, clock, " "), fraction, ".")
    fine = bool(pc.any(pc.match_substring_regex(field["fraction"], r"^\d{6}\d*[1-9]")).as_py())
    matched = pc.if_else(parts.is_valid(), text, None)
    local = _moments(matched)
    zone = pc.if_else(local.is_valid(), field["zone"], None)
    return _Read(local, _minutes(zone), pc.not_equal(zone, ""), fine)


def _short(name: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.utf8_lower(pc.utf8_slice_codeunits(name, 0, 3))


def _two(part: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.utf8_lpad(part, 2, "0")


def _year(year: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    number = pc.cast(pc.if_else(pc.equal(year, ""), "0", year), pa.int32())
    century = pc.if_else(pc.less_equal(number, PIVOT), "20", "19")
    return pc.if_else(pc.equal(pc.utf8_length(year), 2), pc.binary_join_element_wise(century, year, ""), year)


def _hour(hour: pa.Array, half: pa.Array) -> pa.Array:
    """Of 24, where `half` says a or p."""
    import pyarrow as pa
    import pyarrow.compute as pc

    number = pc.cast(pc.if_else(pc.equal(hour, ""), "0", hour), pa.int32())
    twelve = pc.if_else(pc.equal(number, 12), 0, number)
    side = pc.utf8_lower(half)
    full = pc.if_else(pc.equal(side, "p"), pc.add(twelve, 12), pc.if_else(pc.equal(side, "a"), twelve, number))
    return _two(pc.cast(full, pa.string()))


def _minutes(zone: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = pc.extract_regex(zone, r"^(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})?$")
    hours, minutes = (
        pc.cast(pc.if_else(pc.equal(parts.field(name), ""), "0", parts.field(name)), pa.int64())
        for name in ("hours", "minutes")
    )
    size = pc.add(pc.multiply(hours, 60), minutes)
    signed = pc.if_else(pc.equal(parts.field("sign"), "-"), pc.negate(size), size)
    return pc.if_else(zone.is_valid(), pc.fill_null(pc.if_else(parts.is_valid(), signed, None), 0), None)


def _moments(text: pa.Array) -> pa.Array:
    """ISO texts as times; null where there is no such day."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = pa.timestamp("us")
    try:
        return pc.cast(text, kind)
    except pa.ArrowInvalid:
        return pc.cast(pa.array([item if _exists(item) else None for item in text.to_pylist()], pa.string()), kind)


def _exists(text: str | None) -> bool:
    try:
        datetime.fromisoformat(text or "")
    except ValueError:
        return False
    return True


def _said(ordered: bool, first: bool | None, short: bool, zoned: bool, fine: bool) -> tuple[str, ...]:
    found = {
        f"day first{', two-digit years up to 2068' if short else ''}": ordered and first is True,
        f"month first{', two-digit years up to 2068' if short else ''}": ordered and first is False,
        "with offsets, as UTC": zoned,
        "cut to microseconds": fine,
    }
    return tuple(what for what, applies in found.items() if applies)


def times_of_day(words: pa.Array) -> pa.Array | None:
    """Times without a date as time32[s]; None unless all are such."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = pc.extract_regex(words, OF_DAY)
    if words.null_count == len(words) or parts.null_count > words.null_count:
        return None
    seconds = pa.nulls(len(words), pa.int32()).fill_null(0)
    for name, size in (("hour", 3600), ("minute", 60), ("second", 1)):
        part = parts.field(name)
        seconds = pc.add(seconds, pc.multiply(pc.cast(pc.if_else(pc.equal(part, ""), "0", part), pa.int32()), size))
    return pc.cast(pc.cast(seconds, pa.int32()), pa.time32("s"))


def epoch_of(column: pa.ChunkedArray) -> str:
    """The unit in which numbers would count from 1970 to a time of 2001 to 2099; `day` for 20240131."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return ""
    limits = pc.min_max(column).as_py()
    low, high = limits["min"], limits["max"]
    if low is None:
        return ""
    if low >= 19000101 and high <= 21001231:
        return "day" if isinstance(low, int) and 1 <= low // 100 % 100 <= 12 and 1 <= low % 100 <= 31 else ""
    return next((unit for unit, size in EPOCHS.items() if low >= size and high < 4.1 * size), "")


def from_epoch(column: pa.ChunkedArray, unit: str) -> pa.ChunkedArray:
    """Numbers as timestamp[us], by the unit that `epoch_of` found.

    Raises:
        ValueError: eight digits that are no day.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = pa.timestamp("us")
    if unit == "day":
        days = [None if item is None else datetime.strptime(str(item), "%Y%m%d") for item in column.to_pylist()]
        return pa.chunked_array([pa.array(days, kind)])
    if pa.types.is_floating(column.type):
        return pc.round(pc.multiply(column, 10**6 * EPOCHS["s"] / EPOCHS[unit])).cast(pa.int64()).cast(kind)
    return column.cast(pa.int64()).cast(pa.timestamp(unit)).cast(kind, safe=False)
