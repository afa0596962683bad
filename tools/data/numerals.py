"""Numbers as people and spreadsheets write them, from text to Arrow."""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..numbers import EXACT

if TYPE_CHECKING:
    import pyarrow as pa

Decimal = Literal["", ".", ","]

CURRENCY = (
    r"US\$|CA\$|C\$|A\$|R\$|HK\$|[$€£¥₹₽₩₺฿₫₴₪]|zł|Kč|kr\.?|Fr\.|USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|NZD|SEK|NOK|DKK"
    r"|PLN|CZK|HUF|RUB|BRL|MXN|ZAR|SGD|HKD|KRW|TRY"
)
MINUS = "[-\u2212\u2013]"
# Marks that only ever group digits: apostrophes and the spaces of several alphabets.
GROUP = "'\u2019 \u00a0\u202f\u2009"
SHAPE = (
    (
        rf"^(?P<open>\()?\s*(?P<sign>\+|{MINUS})?\s*(?P<before>{CURRENCY})?[\s\u00a0]*(?P<inner>{MINUS})?"
        rf"(?P<body>[.,]?\d(?:[\d.,{GROUP}]*\d)?\.?)(?P<exponent>[eE][-+]?\d+)?[\s\u00a0\u202f]*(?P<percent>%)?"
        rf"[\s\u00a0\u202f]*(?P<after>{CURRENCY})?\s*(?P<close>\)|{MINUS})?$"
    )
    .replace(r"\u00a0", "\u00a0")
    .replace(r"\u202f", "\u202f")
)
ENDLESS = {"inf": 1.0, "+inf": 1.0, "infinity": 1.0, "+infinity": 1.0, "-inf": -1.0, "-infinity": -1.0}
# What in a body of digits and marks proves which mark is the decimal one.
POINT = (
    r"^\d*\.\d{0,2}$|^\d*\.\d{4,}$|^0*\.\d+$|^\d{4,}\.\d*$|^\d{1,3}(,\d{3})+\.\d*$|^\d{1,3}(,\d{2,3}){2,}$"
    rf"|^\d{{1,3}}([{GROUP}]\d{{3}})+\.\d+$"
)
COMMA = (
    r"^\d*,\d{1,2}$|^\d*,\d{4,}$|^0*,\d+$|^\d{4,},\d+$|^\d{1,3}(\.\d{3})+,\d+$|^\d{1,3}(\.\d{3}){2,}$"
    rf"|^\d{{1,3}}([{GROUP}]\d{{3}})+,\d+$"
)
EITHER = r"^[-+]?[1-9]\d{0,2}\.\d{3}$"
GROUPED = (
    rf"^(\d+|\d{{1,3}}(MARK\d{{3}})+|\d{{1,2}}(MARK\d{{2}})+MARK\d{{3}}|\d{{1,3}}([{GROUP}]\d{{3}})+)?(POINT\d*)?$"
)
# So many cells are looked at before all are.
FIRST = 1000
FOUR_GROUPS = r"^\d{1,3}(\.\d{1,3}){3}$"


@dataclass(frozen=True)
class Numbers:
    """Each distinct text as a number, null where it is none.

    `reason` tells why the column should stay text although all are numbers; `undecided` that either mark may be the
    decimal one; `evidence` which one it is here.
    """

    values: pa.Array
    said: tuple[str, ...] = ()
    reason: str = ""
    undecided: bool = False
    evidence: Decimal = ""


def numbers_of(words: pa.Array, decimal: Decimal, forced: bool) -> Numbers:
    """Read trimmed texts as int64 where all are whole, else as float64.

    `decimal` is taken where the words themselves prove nothing, or in any case if `forced`.
    """
    import pyarrow.compute as pc

    parts = pc.extract_regex(words, SHAPE)
    body = parts.field("body")
    shaped = parts.is_valid()
    evidence = _evidence(body)
    proven: Decimal = "" if evidence == "both" else evidence
    marked = bool(pc.any(pc.match_substring_regex(body, r"^[1-9]\d{0,2},\d{3}$")).as_py())
    point: Decimal = decimal if forced else proven or decimal or "."
    undecided = bool(marked and not (forced or proven or decimal))
    mark = "," if point == "." else "."
    pattern = GROUPED.replace("MARK", rf"\{mark}").replace("POINT", rf"\{point}")
    fits = pc.and_(pc.and_(shaped, pc.match_substring_regex(body, pattern)), _balanced(parts))
    digits = pc.replace_substring(pc.replace_substring_regex(body, rf"[{mark}{GROUP}]", ""), point, ".")
    text = pc.binary_join_element_wise(_signs(parts), digits, parts.field("exponent"), "")
    values, lost = _cast(pc.if_else(fits, text, None), words)
    values, mixed = _scaled(values, parts, fits)
    reason = lost or mixed or _named_digits(words, body, fits, pattern)
    return Numbers(values, tuple(_said(parts, body, fits, point, mark)), reason, undecided, proven)


def _evidence(body: pa.Array) -> Literal["", ".", ",", "both"]:
    import pyarrow.compute as pc

    if pc.all(pc.match_substring_regex(body, FOUR_GROUPS)).as_py():
        return "."  # addresses of machines, whose points group nothing
    point = pc.any(pc.match_substring_regex(body, POINT)).as_py()
    comma = pc.any(pc.match_substring_regex(body, COMMA)).as_py()
    return "both" if point and comma else "." if point else "," if comma else ""


def proves_point(numbers: pa.ChunkedArray) -> bool:
    """Whether any of these digits with points can only have the point as decimal mark; mostly the first ones tell."""
    import pyarrow.compute as pc

    heads = (numbers.slice(0, FIRST), numbers)
    return any(pc.any(pc.match_substring_regex(pc.utf8_ltrim(head, "-"), POINT)).as_py() for head in heads)


def _has(part: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.not_equal(part, "")


def _balanced(parts: pa.StructArray) -> pa.Array:
    """Parentheses come in pairs, and there is one sign at most."""
    import pyarrow.compute as pc

    opens, closes = pc.equal(parts.field("open"), "("), pc.equal(parts.field("close"), ")")
    signs = [_has(parts.field("sign")), _has(parts.field("inner")), _has(parts.field("close"))]
    count = sum((pc.cast(sign, "int8") for sign in signs[1:]), pc.cast(signs[0], "int8"))
    return pc.and_(pc.equal(opens, closes), pc.less_equal(count, 1))


def _signs(parts: pa.StructArray) -> pa.Array:
    import pyarrow.compute as pc

    minus = pc.match_substring_regex(parts.field("sign"), MINUS)
    for name in ("inner", "close"):
        minus = pc.or_(minus, _has(parts.field(name)))
    return pc.if_else(minus, "-", "")


def _cast(text: pa.Array, words: pa.Array) -> tuple[pa.Array, str]:
    """The numbers, whole where all are; and whether they lose digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    endless = pc.index_in(pc.utf8_lower(words), pa.array(list(ENDLESS)))
    infinite = pc.take(pa.array([sign * float("inf") for sign in ENDLESS.values()]), endless)
    fractions = pc.any(pc.match_substring_regex(text, "[.eE]")).as_py() or infinite.null_count < len(infinite)
    long = [int(item.partition(".")[0]) for item in _long(text)]
    if not fractions:
        if any(not -(2**63) <= number < 2**63 for number in long):
            return pc.cast(text, pa.float64()), "a number would lose digits"
        return pc.cast(text, pa.int64()), ""
    real = pc.cast(text, pa.float64())
    # Digests such as 12e4567 look like numbers that no double holds.
    lost = pc.any(pc.is_inf(real)).as_py() or any(
        abs(number) > EXACT and int(float(number)) != number for number in long
    )
    return pc.coalesce(real, infinite), "a number would lose digits" if lost else ""


def _long(text: pa.Array) -> list[str]:
    import pyarrow.compute as pc

    return text.filter(pc.match_substring_regex(text, r"^-?\d{16,}(\.\d*)?$")).drop_null().to_pylist()


def _scaled(values: pa.Array, parts: pa.StructArray, fits: pa.Array) -> tuple[pa.Array, str]:
    """Percent as fractions; and why the column is no quantity where units differ."""
    import pyarrow.compute as pc

    used = [parts.field(name).filter(fits) for name in ("before", "after")]
    currencies = sorted({name for part in used for name in part.unique().to_pylist()} - {""})
    if len(currencies) > 1:
        return values, f"it has several currencies ({', '.join(currencies[:3])})"
    percent = _has(parts.field("percent")).filter(fits)
    if not pc.any(percent).as_py():
        return values, ""
    if not pc.all(percent).as_py():
        return values, "only some cells are percent"
    return pc.divide(pc.cast(values, "float64"), 100.0), ""


def _named_digits(words: pa.Array, body: pa.Array, fits: pa.Array, pattern: str) -> str:
    """Digits that name something: a number would lose their zeros or their plus."""
    import pyarrow.compute as pc

    if pc.any(pc.and_(fits, pc.match_substring_regex(body, rf"^0[\d{GROUP}]"))).as_py():
        return "a number would lose digits"
    plus = pc.match_substring_regex(words, r"^\+\d{7,}$")
    return "a number would lose the plus" if len(words) and pc.all(plus).as_py() else ""


def _said(parts: pa.StructArray, body: pa.Array, fits: pa.Array, point: str, mark: str) -> list[str]:
    """The conventions that were needed to read the cells."""
    import pyarrow.compute as pc

    def some(mask: pa.Array) -> bool:
        return bool(pc.any(pc.and_(fits, mask)).as_py())

    grouped = some(pc.match_substring_regex(body, rf"[{mark}{GROUP}]"))
    apart = pc.if_else(
        pc.match_substring_regex(parts.field("sign"), "[\u2212\u2013]"), True, _has(parts.field("close"))
    )
    codes = _has(parts.field("exponent"))
    currency = pc.or_(_has(parts.field("before")), _has(parts.field("after")))
    found = {
        "with decimal commas": point == "," and some(pc.match_substring(body, ",")),
        "with grouped thousands": grouped,
        "in percent, as fractions (12% is 0.12)": some(_has(parts.field("percent"))),
        "without their currency": some(currency),
        "negative in parentheses, with a minus at the end or a long one": some(apart),
        "scientific, where 1E5 is 100000; types 'text' keeps codes": len(body) > 0
        and bool(pc.all(pc.and_(codes, pc.match_substring_regex(body, r"^\d+$"))).as_py()),
        "with trailing zeros (1.10), which numbers lose; types 'text' keeps versions": some(
            pc.match_substring_regex(body, r"^\d+\.\d*0$")
        )
        and _uneven(body),
    }
    return [what for what, applies in found.items() if applies]


def _uneven(body: pa.Array) -> bool:
    """Whether cells have few and differing numbers of decimals, as versions do."""
    import pyarrow.compute as pc

    decimals = pc.utf8_length(pc.replace_substring_regex(body, r"^\d*\.?", ""))
    limits = pc.min_max(decimals).as_py()
    return 0 < (limits["min"] or 0) < (limits["max"] or 0) <= 2
