"""The policy as it is written, checked against the tools it speaks of: a rule that can never apply is a mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ...config.document import decoded, parse, read
from ...config.errors import SettingsError
from ...tools.errors import ToolFailure, unknown
from ...tools.runtime.identity import Access
from .matching import NOT, Pattern, among, fits, plain
from .naming import ANY
from .operations import tools_of

Effect = Literal["deny", "confirm", "allow"]
EFFECTS: tuple[Effect, ...] = ("deny", "confirm", "allow")
# Tool -> what its schema says of each of its arguments.
Shapes = Mapping[str, Mapping[str, Any]]


def _listed(given: Any) -> Any:
    return tuple(given) if isinstance(given, list | tuple) else (given,)


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_listed), Field(min_length=1)]


class Rule(BaseModel):
    """The calls of some tools, with some values, by some callers. `why` is what they are told.

    A tool may be named by what it does (`@deploys`).

    The argument `*` stands for all: what a rule forbids there is not passed under any name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    tools: Texts
    arguments: dict[str, Patterns] = {}
    callers: Texts | None = None
    scopes: Annotated[tuple[Access, ...], BeforeValidator(_listed), Field(min_length=1)] | None = None
    why: str = ""


class Document(BaseModel):
    """The strictest rule that applies decides, whatever their order; `default` where none does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: Literal["allow", "deny"]
    deny: tuple[Rule, ...] = ()
    confirm: tuple[Rule, ...] = ()
    allow: tuple[Rule, ...] = ()

    def rules(self, effect: Effect) -> tuple[Rule, ...]:
        found: tuple[Rule, ...] = getattr(self, effect)
        return found


def document(path: Path, shapes: Shapes) -> Document:
    """The policy of a file.

    Raises:
        SettingsError: it cannot be read, is no policy, or names a tool, an argument or a value that there is not.
    """
    content = parse(decoded(read(path), path), f"the policy {path}")
    try:
        found = Document.model_validate(content)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc'])) or 'it'}: {item['msg']}" for item in error.errors())
        raise SettingsError(f"{path} is no policy: {'; '.join(list(problems)[:5])}") from None
    rules: dict[Effect, list[Rule]] = {effect: [] for effect in EFFECTS}
    for effect in EFFECTS:
        for number, rule in enumerate(found.rules(effect), 1):
            try:
                meant = rule.model_copy(update={"tools": tuple(tools_of(rule.tools))})
            except ToolFailure as failure:
                raise SettingsError(f"{path}, {effect} rule {number}: {failure}") from None
            for problem in (*_problems_of_any(effect, meant), *_problems(meant, shapes)):
                raise SettingsError(f"{path}, {effect} rule {number}: {problem}")
            rules[effect].append(meant)
    return found.model_copy(update={effect: tuple(each) for effect, each in rules.items()})


def _problems_of_any(effect: Effect, rule: Rule) -> Iterator[ToolFailure]:
    patterns = rule.arguments.get(ANY, ("",))
    if effect == "allow" and ANY in rule.arguments:
        yield ToolFailure(f"{ANY} stands for every argument, which cannot all be one thing", "Name the argument.")
    if all(isinstance(each, str) and each.startswith(NOT) for each in patterns):
        yield ToolFailure(f"{ANY} stands for every argument, and one of them is always something else", "Say what.")


def _problems(rule: Rule, shapes: Shapes) -> Iterator[ToolFailure]:
    for pattern in plain(rule.tools):
        meant = [tool for tool in shapes if fits(pattern, tool, widely=False)]
        if not meant:
            yield unknown("tool", pattern, shapes)
        for path in rule.arguments:
            if path != ANY and not any(_argument(path) in shapes[tool] for tool in meant):
                yield unknown(
                    f"argument of {pattern}", path, {name for tool in meant for name in shapes[tool]}, limit=20
                )
    tools = [tool for tool in shapes if among(rule.tools, tool, widely=False)]
    if not tools:
        yield ToolFailure(f"its tools {list(rule.tools)} leave none", "What follows a ! takes away what was named.")
    for name, patterns in rule.arguments.items():
        known = [shapes[tool][name] for tool in tools if name in shapes[tool]]
        for pattern in plain(patterns):
            if known and not any(_possible(shape, pattern) for shape in known):
                yield ToolFailure(f"{name} can never be {pattern!r}", _valid(known[0]))


def _argument(path: str) -> str:
    return path.partition(".")[0]


def _possible(shape: Mapping[str, Any], pattern: Pattern) -> bool:
    """Whether an argument may have a value that a pattern fits, as far as its schema tells."""
    if pattern is None:
        return True
    if "enum" in shape:
        return any(fits(pattern, value, widely=True) for value in shape["enum"])
    if shape.get("type") == "boolean":
        return isinstance(pattern, bool)
    if shape.get("type") in ("number", "integer"):
        return isinstance(pattern, int | float) and not isinstance(pattern, bool)
    return True


def _valid(shape: Mapping[str, Any]) -> str:
    return f"Valid: {', '.join(map(str, shape['enum']))}." if "enum" in shape else f"It is a {shape['type']}."
