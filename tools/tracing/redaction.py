"""What looks like a secret, and how it is taken out of a text before that is stored, logged or shown."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from ...config.secrets import revealed, secret_values
from ...config.settings import Settings
from ..legible import legible

REDACTED = "[redacted]"
# No token is shorter; only a name with its value may be.
SHORTEST = 16
# Numbers of people and cards are.
SHORTEST_NUMBER = 11
# A known value that is shorter might as well be a word.
SHORTEST_KNOWN = 8
# Variables such as PWD or GOOGLE_APPLICATION_CREDENTIALS name a place.
PLACES = ("/", "~", ".", "unix:")

SECRET_NAME = re.compile(
    r"(?i)api[-_ ]?key|access[-_]?key|account[-_]?key|secret|passw(or)?d|passwd|passphrase|(^|[-_])(pwd|pass)$"
    r"|credential|authorization|private[-_]?key|bearer|cookie|session[-_]?(key|token)|signature$"
)
# These also name counts and switches. `githubToken` ends in a word of its own, `tokens` does not.
TOKEN_NAME = re.compile(
    r"(^|[-_.])([Tt]oken|TOKEN)($|[-_.])|[a-z0-9]Token$|(?i:(auth|access|refresh|id|bot)[-_]?token$)|(?i:(^|[-_.])auth$)"
)
# Without one of these letters in it, no name is a secret's: looking for them costs a tenth.
HINTS = ("key", "secret", "pass", "pwd", "cred", "auth", "bearer", "cookie", "token", "signature")


class Shape(NamedTuple):
    """A pattern, and the letters without which it cannot fit: looking for those is much cheaper."""

    anchors: tuple[str, ...]
    pattern: re.Pattern[str]
    instead: str | Callable[[re.Match[str]], str] = REDACTED


def _prefixed(least: int, *prefixes: str, letters: str = r"[\w-]") -> Shape:
    joined = "|".join(map(re.escape, prefixes))
    return Shape(prefixes, re.compile(rf"(?<![A-Za-z0-9])(?:{joined}){letters}{{{least},}}"))


def _cases(word: str) -> tuple[str, str, str]:
    return word, word.capitalize(), word.upper()


def _user_info(match: re.Match[str]) -> str:
    """The user of an address helps to recognise it, unless it is as long as a token."""
    user = match["user"]
    return f"://{user}:{REDACTED}@" if 0 < len(user) < SHORTEST else f"://{REDACTED}@"


def _basic(match: re.Match[str]) -> str:
    """Only what decodes to `user:password`: the word is also followed by others."""
    try:
        decoded = base64.b64decode(match["credentials"], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return match[0]
    return f"Basic {REDACTED}" if ":" in decoded else match[0]


def _card(match: re.Match[str]) -> str:
    """Only what ends in the right check digit (ISO/IEC 7812-1, annex B): other long numbers are counts and times."""
    digits = [int(each) for each in match[0] if each.isdigit()]
    doubled = [sum(divmod(2 * each, 10)) for each in digits[-2::-2]]
    return match[0] if (sum(digits[-1::-2]) + sum(doubled)) % 10 else REDACTED


def _aws_secret(match: re.Match[str]) -> str:
    """Forty letters of base64, of every kind; a digest has no capitals and a path has slashes."""
    text = match[0]
    mixed = re.search("[a-z]", text) and re.search("[A-Z]", text) and re.search("[0-9]", text)
    return REDACTED if len(text) == 40 and mixed and text.count("/") <= 4 and not text.startswith("/") else text


# Of an address, where every parameter of such a name is one.
PARAMETER = (
    r"(?:(?:[\w.-]*[-_])?(?:api[-_]?key|token|jwt|secret|passw(?:or)?d|passphrase|auth|credentials?|signature)"
    r"|key|access[-_]?key|apitoken|authorization|client[-_]?secret|pass|passwd|pwd|sig)"
)
# The second part may be the end of a word that is none, such as bypass.
NAMED = (
    r"(?:passw(?:or)?d|passphrase|secret_access_key|accountkey|sharedaccess(?:key|signature)|amz-signature"
    r"|amz-security-token|api[-_]?key|client[-_]?secret|access[-_]?token|refresh[-_]?token|auth[-_]?token"
    r"|secret[-_]?key|private[-_]?key|(?<![a-z])(?:passwd|pwd|pass|id[-_]?token|secret|token)|[?&]sig)"
)
VALUE = r"""(?:"[^"\\]{3,}|'[^'\\]{3,}|[^\s"'&;,\])}\\]{4,})"""
WORDS = tuple(word for each in ("pass", "pwd", "secret", "token", "key", "sig") for word in _cases(each))
PASSWORD = re.compile(r"://[^:/?#\s]*:([^@/\s]+)@")
SHAPES = (
    Shape(("://",), re.compile(r"://(?P<user>[^:/?#\s\"]*):(?!\*+@|\[redacted\]@)[^\s\"/]+@"), _user_info),
    # A user alone: on the web it is a key, elsewhere a name.
    Shape(("://",), re.compile(r"(?i)(?<=http|ttps)://(?!git@)[^:/?#\s\"'@]+:?@"), f"://{REDACTED}@"),
    Shape(("://",), re.compile(rf"://[^:/?#\s\"'@]{{{SHORTEST},}}@"), f"://{REDACTED}@"),
    Shape(("?", "&"), re.compile(rf"(?i)(?<=[?&])({PARAMETER}=)[^&#\s\"'<>\\]+"), rf"\1{REDACTED}"),
    # The part before the @ alone, as an error may quote it; what follows the colon is no port.
    Shape(("://",), re.compile(r"://[^:/?#\s\"'@\[]*:(?!\d{1,5}\b|\*+@|\[redacted\]@)[^\s\"'/@\[]{4,}"), f"://{REDACTED}"),
    Shape(("eyJ",), re.compile(r"(?<![\w.])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?")),
    _prefixed(16, "sk-", "sk_", "pk-", "pk_", "rk-", "rk_"),
    _prefixed(16, "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "gldt-", "glsa_", "glc_"),
    _prefixed(10, "xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xapp-"),
    _prefixed(14, "hf_", "npm_", "pypi-", "gsk_", "xai-", "pplx-", "pcsk_", "r8_", "whsec_"),
    _prefixed(14, "sbp_", "ntn_", "lin_api_"),
    _prefixed(14, "dop_v1_", "dckr_pat_", "shpat_", "sntrys_", "hvs.", "ya29.", "GOCSPX-", "PMAK-", "NRAK-", "ATATT3x"),
    _prefixed(14, "SG.", letters=r"[\w.-]"),
    _prefixed(16, "AKIA", "ASIA", letters=r"[A-Z0-9]"),
    _prefixed(30, "AIza"),
    _prefixed(32, "dapi", "key-", letters=r"[0-9a-f]"),
    _prefixed(20, "AGE-SECRET-KEY-"),
    _prefixed(40, "mlopstk_"),  # our own
    Shape(("hooks.slack.com/services/",), re.compile(r"hooks\.slack\.com/services/[\w/]+")),
    Shape(("discord.com/api/webhooks/",), re.compile(r"discord\.com/api/webhooks/[\w/-]+")),
    Shape((":",), re.compile(r"\b[0-9]{8,10}:[\w-]{35}(?![\w-])")),
    Shape(("earer", "EARER"), re.compile(r"(?i)\bbearer\s+[\w.~+/-]{8,}=*")),
    Shape(
        ("uthorization", "UTHORIZATION"),
        re.compile(r"(?i)\bauthorization[\"']?\s*[:=]\s*[\"']?(?:basic|token|digest|apikey|negotiate)\s+[^\s\"',]{4,}"),
    ),
    Shape(("asic ", "ASIC "), re.compile(r"(?i)\bbasic\s+(?P<credentials>[a-z0-9+/]{7,}={0,2})"), _basic),
    Shape(
        ("curl",),
        re.compile(r"(?<![\w-])(?:-[uU]|--(?:proxy-)?user)(?=[\s=\"',])[\s=\"',]*[^\s\"':,=][^\s\"':]*:[^\s\"']+"),
    ),
    # Headers as pairs; a list of names that are no headers is a list of columns.
    Shape(
        WORDS,
        re.compile(
            r"(?i)(?<=[\[(])\s*\\*[\"'](?:\w+-)+(?:key|token|secret|auth|password|signature)\\*[\"']\s*,"
            r"\s*\\*[\"'][^\"'\\]+"
        ),
    ),
    Shape(
        ("uthorization", "UTHORIZATION", "ookie", "OOKIE"),
        re.compile(
            r"(?i)(?<=[\[(])\s*\\*[\"'](?:proxy-authorization|authorization|(?:set-)?cookie)\\*[\"']\s*,"
            r"\s*\\*[\"'][^\"'\\]+"
        ),
    ),
    Shape(
        tuple(f"{word}{end}" for word in _cases("auth") for end in "\"'\\="),
        re.compile(
            r"(?i)(?<![a-z])auth(?:\\*[\"']\s*:\s*\\*[\"'][^\"'\\]{3,}"
            r"|=\(\s*[\"'][^\"']*[\"']\s*,\s*[\"'][^\"']+[\"']\s*\))"
        ),
    ),
    Shape(
        ("ookie:", "OOKIE:", 'ookie"', "ookie'"),
        re.compile(r"(?i)\b(?:set-)?cookie[\"']?:\s*[\"']?[^\s\"'=]{1,100}=[^\r\n\"']+"),
    ),
    Shape(WORDS, re.compile(rf"(?i){NAMED}\\*[\"']?\]?\s*[=:]\s*\\*(?![\"']?\[redacted\]){VALUE}")),
    Shape(("--",), re.compile(r"(?i)--(?:password|passwd|token|secret|api-?key)[ =][^\s\"']{4,}")),
    Shape(
        ("PRIVATE KEY",),
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|$)",
            re.DOTALL,
        ),
    ),
    # What stood before is looked at last: most numbers are too short, and it would be looked at for every digit.
    Shape(
        ("3", "4", "5", "6", "2"),
        re.compile(
            r"(?:4\d{3}(?<![\w.+-]4\d{3})(?:[ -]?\d{4}){3}"
            r"|5[1-5]\d{2}(?<![\w.+-]5\d{3})(?:[ -]?\d{4}){3}|2[2-7]\d{2}(?<![\w.+-]2\d{3})(?:[ -]?\d{4}){3}"
            r"|6(?:011|5\d{2}|4[4-9]\d)(?<![\w.+-]6\d{3})(?:[ -]?\d{4}){3}"
            r"|3[47]\d{2}(?<![\w.+-]3\d{3})[ -]?\d{6}[ -]?\d{5}|35\d{2}(?<![\w.+-]3\d{3})(?:[ -]?\d{4}){3}"
            r"|3[068]\d{2}(?<![\w.+-]3\d{3})[ -]?\d{6}[ -]?\d{4})(?![\w-]|\.\d)"
        ),
        _card,
    ),
    # https://www.ssa.gov/employer/randomization.html says which numbers of a group are never given.
    Shape(
        ("-",),
        re.compile(
            r"\d{3}-(?<!000-)(?<!666-)(?<!9\d\d-)(?!00)\d{2}-(?!0000)\d{4}(?![\w-])(?<![\w.-]\d{3}-\d{2}-\d{4})"
        ),
    ),
    Shape(("",), re.compile(r"[A-Za-z0-9/+]{40,}+(?![\w=.-])"), _aws_secret),
)  # fmt: skip


def secret_name(name: str, value: object) -> bool:
    """Whether a field of this name holds a secret rather than, say, a number of tokens."""
    lower = name.lower()
    for hint in HINTS:
        if hint in lower:
            return bool(SECRET_NAME.search(name)) or (
                not isinstance(value, int | float) and "token_" not in lower and bool(TOKEN_NAME.search(name))
            )
    return False


@dataclass(frozen=True)
class Redactor:
    """Takes out of a text what is hidden in it, and secrets: the shapes above, `more` patterns, and `known` values."""

    more: tuple[re.Pattern[str], ...] = ()
    known: tuple[str, ...] = field(default=(), repr=False)

    def __call__(self, text: str) -> str:
        """Replace what looks like a key, token or password, also where it is written for an address."""
        clean = self._clean(legible(text))
        if "%" in clean and (decoded := unquote(clean)) != clean and (again := self._clean(decoded)) != decoded:
            return again
        return clean

    def _clean(self, text: str) -> str:
        if len(text) >= SHORTEST_NUMBER or "=" in text or ":" in text:
            for shape in SHAPES:
                for anchor in shape.anchors:
                    if anchor in text:
                        text = shape.pattern.sub(shape.instead, text)
                        break
        return self._named(text)

    def scrub(self, node: Any) -> Any:
        """A copy of JSON-like data without what `more` and `known` name; the shapes have been taken out before."""
        if isinstance(node, str):
            return self._named(node)
        if isinstance(node, Mapping):
            return {self._named(str(key)): self.scrub(item) for key, item in node.items()}
        return [self.scrub(item) for item in node] if isinstance(node, list | tuple) else node

    @property
    def idle(self) -> bool:
        """Whether `scrub` has nothing to look for."""
        return not (self.more or self.known)

    def _named(self, text: str) -> str:
        for pattern in self.more:
            text = pattern.sub(REDACTED, text)
        for value in self.known:
            text = text.replace(value, REDACTED)
        return text

    @classmethod
    def of(cls, settings: Settings, environ: Mapping[str, str] | None = None) -> Redactor:
        """With the patterns of the settings, and the secrets that this process itself was given."""
        env = os.environ if environ is None else environ
        named = [value for name, value in env.items() if secret_name(name, value) and not value.startswith(PLACES)]
        secrets = secret_values(settings)
        # Whatever setting or variable an address stands in.
        given = (*_texts(revealed(settings)), *env.values())
        passwords = [password for text in given if "://" in text for password in PASSWORD.findall(text)]
        # Of an address only the password is secret.
        known = {*(secret for secret in secrets if "://" not in secret), *named, *passwords}
        return cls(tuple(re.compile(pattern) for pattern in settings.tracing.redact), _written(known))


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for item in node.values() if isinstance(node, dict) else node:
            yield from _texts(item)


def _written(values: Iterable[str]) -> tuple[str, ...]:
    """Those that are long enough, also as JSON, addresses and base64 write them; the longest first, since one may
    contain another.
    """
    known = {value for value in values if len(value) >= SHORTEST_KNOWN}
    written = {form for value in known for form in (value, json.dumps(value)[1:-1], quote(value, ""), _base64(value))}
    return tuple(sorted(written, key=len, reverse=True))


def _base64(value: str) -> str:
    """Without its end, which what follows decides as well."""
    content = value.encode("utf-8", "replace")
    return base64.b64encode(content[: len(content) // 3 * 3]).decode()


BUILT_IN = Redactor()


def redact(text: str) -> str:
    """Replace what looks like a key, token or password, whatever the settings say."""
    # Most texts are a word: they are not worth three calls.
    return (
        BUILT_IN(text) if len(text) >= SHORTEST_NUMBER or "=" in text or ":" in text or "%" in text else legible(text)
    )
