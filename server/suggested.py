"""What may be written for an argument of a prompt: what tools list to whoever asks; and for one of an address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, cast

from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.uri_template import UriTemplate
from mcp.types import Completion, CompletionArgument, CompletionContext, PromptReference

from ..resources.publish import Reference, Rules, address_candidates
from ..tools.errors import ToolFailure
from ..tools.legible import legible
from ..tools.runtime.calls.executor import CallCrashed, CallExecutor
from .host import Host

# As many as the protocol lets an answer have, out of as many pages of a list as are read while somebody types.
MOST, PAGES = 100, 5
Ask = Callable[[str, dict[str, Any]], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True)
class Listing:
    """The tool whose answer names what an argument may be: one `handle` for each of its items."""

    tool: str
    handle: str
    kind: str = ""
    items: str = "items"


LISTINGS: Mapping[str, Listing] = MappingProxyType({
    "dataset": Listing("list_datasets", "dataset"),
    "run": Listing("search_runs", "run"),
    "model": Listing("list_models", "name", "model:"),
    "study": Listing("list_studies", "study"),
    "endpoint": Listing("list_endpoints", "endpoint"),
    "trace": Listing("search_traces", "trace"),
    "target": Listing("describe_dataset", "name", items="columns"),
})  # fmt: skip


def add_suggestions(host: Host, calls: CallExecutor, rules: Rules, listed: Collection[str]) -> None:
    """Complete what an address of the host's cards takes, and what its prompts may be given.

    Args:
        listed: the tools that are published; what none of them names is not suggested.
    """
    told = {name for name, listing in LISTINGS.items() if listing.tool in listed}
    taken = {name for uri in host.cards for name in UriTemplate.parse(uri).variable_names}
    given = {name for spec in host.own_prompts for name in spec.named if name in told}
    if not (taken or given):
        return

    async def complete(
        reference: Reference, argument: CompletionArgument, context: CompletionContext | None
    ) -> Completion:
        known, values = (context.arguments if context else None) or {}, list[str]()
        if isinstance(reference, PromptReference):
            spec = next((spec for spec in host.own_prompts if spec.name == reference.name), None)
            if spec and argument.name in given.intersection(spec.named):
                values = await candidates(partial(host.answer_to, None), argument, known)
        elif argument.name in taken:
            values = await address_candidates(calls, rules, argument, known)
        shown = [value for value in values if legible(value) == value]  # another text would name nothing
        return Completion(values=shown[:MOST], total=len(shown), has_more=len(shown) > MOST)

    cast(Any, host).completion()(complete)


async def candidates(ask: Ask, argument: CompletionArgument, given: Mapping[str, str]) -> list[str]:
    """Handles that begin with what was typed, with their kind or without it, in the order of their list."""
    listing = LISTINGS[argument.name]
    try:
        return await _found(ask, listing, argument.value, given)
    except (ToolFailure, ToolError, CallCrashed):
        # A suggestion is a courtesy: of what may not be seen, or with a dead backend, there is none.
        return []


async def _found(ask: Ask, listing: Listing, typed: str, given: Mapping[str, str]) -> list[str]:
    found, cursor = list[str](), ""
    of = {"dataset": given.get("dataset", "")} if listing.items == "columns" else dict[str, str]()
    if not all(of.values()):
        return []
    for _ in range(PAGES):
        answer = await ask(listing.tool, {**of, "limit": MOST, **({"cursor": cursor} if cursor else {})})
        found += _starting(typed, listing, answer)
        cursor = str(answer.get("next_cursor") or "")
        if not cursor or len(found) > MOST:
            break
    return found


def _starting(typed: str, listing: Listing, answer: Mapping[str, Any]) -> Iterator[str]:
    for item in answer.get(listing.items) or ():
        name = f"{listing.kind}{item.get(listing.handle)}"
        if name.startswith(typed) or (listing.items == "items" and name.partition(":")[2].startswith(typed)):
            yield name
