"""The policy of a server, as it is now: what a call has to pass before anything is done."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ...config.errors import SettingsError
from ...config.settings import Settings
from ...config.watch import stamp_of
from ...tools.errors import Denied, ToolFailure
from ...tools.legible import legible
from ...tools.runtime.identity import Identity, acting
from ...tools.tracing.redaction import redact
from .consent import NeedsConsent
from .document import EFFECTS, Document, Effect, Rule, Shapes, document
from .matching import Pattern, among, at, is_named, leaves
from .naming import ANY, slices_for

MAX_SHOWN = 200
# Single values of a call that rules are held against: more would keep everybody waiting.
MOST_VALUES = 20_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """A call: its tool, all of its arguments as the tool gets them, its defaults among them, and who makes it.

    `called` are the other names of what its texts name.
    """

    tool: str
    arguments: Mapping[str, Any]
    by: Identity
    read_only: bool
    called: Mapping[str, Collection[str]] = field(default_factory=dict[str, Collection[str]])

    def values(self, path: str) -> Iterator[Any]:
        """The single values of an argument, or of all; nothing of one that the tool does not take."""
        name, *inner = path.split(".")
        if path == ANY:
            yield from leaves(dict(self.arguments))
        elif name in self.arguments:
            yield from list(leaves(at(self.arguments[name], inner))) or [None]

    def is_among(self, patterns: Sequence[Pattern], value: Any, widely: bool) -> bool:
        called = self.called.get(value, ()) if widely and isinstance(value, str) else ()
        return among(patterns, value, widely, called)

    @property
    def digest(self) -> str:
        """Another one for each call, so that what was confirmed for one counts for no other."""
        what = (self.tool, self.arguments, self.by.name)
        return f"consent:{hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()}"

    def shown(self, first: Collection[str]) -> str:
        """What a person reads of it: every argument that says something, those that a rule names before the others."""
        names = sorted(self.arguments, key=lambda name: name not in first)
        given = [(name, json.dumps(self.arguments[name], ensure_ascii=False)) for name in names]
        parts = [f"{name}={_cut(text)}" for name, text in given if text not in ("null", '""')]
        return legible(redact(f"{self.tool}({', '.join(parts)})"))


@dataclass(frozen=True)
class Verdict:
    """What is to happen to a call, by which rule (`deny rule 2`) or by the default."""

    effect: Effect
    place: str = "its default"
    rule: Rule | None = None

    @property
    def why(self) -> str:
        return self.rule.why if self.rule else ""


class Policy:
    """The rules of a file, which is read again whenever it has changed; without a file everything is allowed.

    While it cannot be used the rules before it hold on, and nothing is written.

    Raises:
        SettingsError: it cannot be used when the server starts.
    """

    def __init__(self, path: Path | None, shapes: Callable[[], Shapes]) -> None:
        self._path = path
        self._broken = ""
        self._stamp = stamp_of(path) if path else None
        self._shapes: Shapes = shapes() if path else {}
        self._rules = document(path, self._shapes) if path else None

    @classmethod
    def of(cls, settings: Settings, shapes: Callable[[], Shapes]) -> Policy:
        given = settings.server.policy
        return cls(Path(given).expanduser().absolute() if given else None, shapes)

    @property
    def given(self) -> bool:
        return self._rules is not None

    def require_known(self, tool: str) -> None:
        """Raises ToolFailure for a tool that whoever acts may not call, whatever it passes."""
        if (verdict := self._always(tool, acting())).effect == "deny":
            raise self._denied(tool, verdict)

    def require_open(self, tools: Collection[str]) -> None:
        """Raises ToolFailure where one of the tools that show the same is not allowed whatever is passed to it."""
        for tool in tools:
            if (verdict := self._whatever(tool, acting())).effect != "allow":
                raise self._denied(tool, verdict)

    def lists(self, tool: str) -> bool:
        """Whether whoever acts may call a tool at all."""
        return self._always(tool, acting()).effect != "deny"

    def opens(self, tools: Collection[str]) -> bool:
        try:
            self.require_open(tools)
        except ToolFailure:
            return False
        return True

    def asks(self, attempt: Attempt) -> Mapping[str, Sequence[str]]:
        """Slice -> the texts of a call whose other names it has to say, so that `require` can tell what they name.

        Raises:
            ToolFailure: it has too many.
        """
        self._require_few(attempt)
        found: dict[str, dict[str, None]] = {}
        for rule in self._about(attempt, ("deny", "confirm")):
            for path, patterns in rule.arguments.items():
                texts = [value for value in attempt.values(path) if isinstance(value, str)]
                for slice_name in slices_for(path, patterns):
                    found.setdefault(slice_name, {}).update(dict.fromkeys(texts))
        return {slice_name: list(texts) for slice_name, texts in found.items() if texts}

    def _about(self, attempt: Attempt, effects: Sequence[Effect] = EFFECTS) -> Iterator[Rule]:
        """The rules that may decide over a call, by what is passed."""
        if rules := self._current():
            for effect in effects:
                for verdict in _ruling(rules, effect, attempt.tool, attempt.by):
                    if verdict.rule:
                        yield verdict.rule

    def require(self, attempt: Attempt, picked: Mapping[str, str]) -> None:
        """Let a call pass.

        Args:
            picked: what a person has chosen, by the digest of the call that they were asked about.

        Raises:
            NeedsConsent: a person has to confirm it, and nobody was asked yet.
            ToolFailure: it is denied, nobody has confirmed it, or the file cannot be used.
        """
        rules = self._current()
        if rules is None:
            return
        if self._broken and not attempt.read_only:
            raise ToolFailure(
                f"nothing is written while the policy of this server cannot be used: {self._broken}",
                "Whoever runs the server mends it; what only reads works on.",
            )
        self._require_few(attempt)
        verdict = decide(rules, attempt)
        if verdict.effect == "deny":
            raise self._denied(attempt.tool, verdict)
        if verdict.effect == "confirm" and picked.get(attempt.digest) != NeedsConsent.YES:
            raise self._open_question(attempt, verdict, refused=attempt.digest in picked)

    def _require_few(self, attempt: Attempt) -> None:
        """Raises ToolFailure for a call with more values than can be looked at, if a rule speaks of them."""
        if not any(rule.arguments for rule in self._about(attempt)):
            return
        if len(list(islice(attempt.values(ANY), MOST_VALUES + 1))) > MOST_VALUES:
            raise ToolFailure(
                f"{attempt.tool} was given more than {MOST_VALUES} values, and the policy of this server looks at each",
                "Pass fewer at a time, or as a file or dataset.",
            )

    def _open_question(self, attempt: Attempt, verdict: Verdict, refused: bool) -> ToolFailure:
        first = [name.partition(".")[0] for name in (verdict.rule.arguments if verdict.rule else ())]
        who, why = f" by {attempt.by.name}" if attempt.by.name else "", f" ({verdict.why})" if verdict.why else ""
        told = f"{attempt.shown(first)} is asked for{who}, and a person has to confirm it{why}"
        if refused:
            return ToolFailure(f"{told}: it was refused", "Nothing was done; do not ask again unless you are told to.")
        way = (
            f"Nobody has: use a client that can ask a person (elicitation), or change {verdict.place} of {self._name}."
        )
        return NeedsConsent(told, way, attempt.digest)

    def _denied(self, tool: str, verdict: Verdict) -> Denied:
        why = f" ({verdict.why})" if verdict.why else ""
        return Denied(
            f"{tool} is denied here by the policy of this server{why}",
            f"Whoever runs the server may change it: {verdict.place} of {self._name}.",
        )

    @property
    def _name(self) -> str:
        return self._path.name if self._path else ""

    def _always(self, tool: str, by: Identity) -> Verdict:
        """The strictest that holds for every call of a tool."""
        if (rules := self._current()) is None:
            return Verdict("allow")
        found = {effect: _ruling(rules, effect, tool, by) for effect in EFFECTS}
        if denied := _of_all(found["deny"]):
            return denied[0]
        permitted = rules.default == "allow" or found["confirm"] or found["allow"]
        return Verdict("allow") if permitted else Verdict("deny")

    def _whatever(self, tool: str, by: Identity) -> Verdict:
        """The strictest that holds for some call of a tool."""
        if (rules := self._current()) is None:
            return Verdict("allow")
        found = {effect: _ruling(rules, effect, tool, by) for effect in EFFECTS}
        if ruled := found["deny"] or found["confirm"]:
            return ruled[0]
        permitted = rules.default == "allow" or _of_all(found["allow"])
        return Verdict("allow") if permitted else Verdict("deny")

    def _current(self) -> Document | None:
        if self._path is not None and (stamp := stamp_of(self._path)) != self._stamp:
            # Whatever it fails by: it stays so until it can be used.
            self._stamp, self._broken = stamp, f"{self._path} cannot be read, the log says why"
            try:
                self._rules, self._broken = document(self._path, self._shapes), ""
            except SettingsError as error:
                self._broken = redact(str(error))
                logger.warning("nothing is written from now on: %s", self._broken)
        return self._rules


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… ({len(text)} characters)"


def decide(rules: Document, attempt: Attempt) -> Verdict:
    """The strictest verdict of the rules that apply."""
    for effect in EFFECTS:
        for verdict in _ruling(rules, effect, attempt.tool, attempt.by):
            if verdict.rule and _fits_arguments(verdict.rule, attempt, effect != "allow"):
                return verdict
    return Verdict(rules.default)


def _ruling(rules: Document, effect: Effect, tool: str, by: Identity) -> list[Verdict]:
    """The rules that speak of a tool and a caller, whatever is passed."""
    return [
        Verdict(effect, f"{effect} rule {number}", rule)
        for number, rule in enumerate(rules.rules(effect), 1)
        if among(rule.tools, tool, widely=False)
        and (rule.callers is None or is_named(rule.callers, by.name))
        and (rule.scopes is None or by.access in rule.scopes)
    ]


def _of_all(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that hold whatever is passed."""
    return [verdict for verdict in verdicts if verdict.rule and not verdict.rule.arguments]


def _fits_arguments(rule: Rule, attempt: Attempt, widely: bool) -> bool:
    """To forbid it is enough that one of the values in an argument fits; to permit, all have to."""
    for path, patterns in rule.arguments.items():
        fitting = [attempt.is_among(patterns, value, widely) for value in attempt.values(path)]
        if not fitting or not (any if widely else all)(fitting):
            return False
    return True
