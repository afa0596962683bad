"""The MCP server itself: a ready-made tool list, slices imported at their first call, errors an agent can act on."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import anyio.to_thread
from mcp.server import Server
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata
from mcp.types import CallToolResult, InputRequiredResult, ResourceTemplate, TextContent
from mcp.types import Resource as WireResource
from mcp.types import Tool as WireTool
from pydantic import ValidationError

from ..prompts.templates import PromptSpec
from ..tools import catalog, wire
from ..tools.errors import NotInstalled, ToolFailure, unknown
from ..tools.estimates import briefly
from ..tools.legible import legible, legible_parts
from ..tools.runtime.context import ToolContext
from ..tools.runtime.identity import Access, acting
from ..tools.runtime.waits import Caller
from ..tools.spec import CONTEXT, Toolset, ToolSpec
from ..tools.tracing.span import current_span
from . import stdio
from .access.gate import counted_for
from .access.scopes import METHODS, RESOURCES, Wanted, needed
from .apps.extension import SCHEME
from .arguments import CallArguments, admitted, invalid, taken
from .audited import refusal_of
from .choices import settled
from .crashes import crashed
from .in_flight import Asked
from .looked_up import PLAINLY, looked_up
from .policy.naming import names_of
from .policy.policy import Attempt, Policy
from .prompts import PromptHost
from .published import Published
from .scope import caller_of, gone
from .services import Services
from .task_request import handoff_of

# An agent looks at data before it trains: the libraries are wanted soon, the answer to this call now.
WARM_AFTER_S = 0.1
# What a read has found is old after so long.
FRESH_S = 60.0


class Host(PromptHost):
    """Serves the published tools; nothing of a slice is loaded before one of its tools is called.

    Args:
        published: which tools of this package are served, and which are not for want of libraries.
        policy: what every call has to pass.
        more: toolsets from elsewhere, which are loaded already.
    """

    def __init__(
        self, services: Services, published: Published, policy: Policy, more: Sequence[Toolset] = (), **options: Any
    ) -> None:
        super().__init__(published.prompts, **options)
        self.services = services
        self._policy = policy
        self._listed: dict[str, WireTool] = {}
        # Address of a resource -> the tools that show the same.
        self.cards: dict[str, Collection[str]] = {}
        added = {spec.name: (spec, toolset.name) for toolset in more for spec in toolset.tools}
        self._published = published
        self._toolset_of = {**published.tools, **{name: toolset for name, (_, toolset) in added.items()}}
        self._specs = {name: spec for name, (spec, _) in added.items()}
        self._wire = {
            **{name: wire.shipped(name) for name in published.tools},
            **{name: wire.render(spec) for name, spec in self._specs.items()},
        }

    @property
    def protocol(self) -> Server[Any]:
        """The SDK's server below this one: the handlers by method, and the loop that serves a stream."""
        return self._lowlevel_server

    async def run_stdio_async(self) -> None:
        await stdio.serve(self.protocol)

    async def list_tools(self) -> list[WireTool]:
        """Those that the caller may call."""
        allowed = (name for name in self._wire if acting().allows(self._needed(name)) and self._policy.lists(name))
        return [self._tool(name) for name in allowed]

    def _tool(self, name: str) -> WireTool:
        """As it is listed, made once: many may ask for the list."""
        if name not in self._listed:
            self._listed[name] = WireTool.model_validate(self._wire[name])
        return self._listed[name]

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        return [each for each in await super().list_resource_templates() if self._opens(each.uri_template)]

    def _count(self, context: Context[Services, Any] | None) -> None:
        """Raises ToolFailure for one too many of a caller; whoever has started the server itself may make any."""
        request = context.request_context.request if context else None
        if request is not None:
            self.services.rates.admit(counted_for(request.scope))

    def _opens(self, address: str) -> bool:
        return acting().allows(RESOURCES.get(address, "read")) and self._policy.opens(self.cards.get(address, ()))

    async def list_resources(self) -> list[WireResource]:
        """Those that the caller may read; apps are named by the tools that they belong to."""
        found = (each for each in await super().list_resources() if not each.uri.startswith(SCHEME))
        return [each for each in found if self._opens(each.uri)]

    def wanted(self, method: str, params: Mapping[str, Any]) -> Wanted | None:
        """What a request asks for, and the scope that it takes; None for what every caller may."""
        if method in METHODS:
            return Wanted(method, METHODS[method], {"job": f"job:{params.get('taskId')}"})
        if method == "resources/read":
            uri = str(params.get("uri"))
            return Wanted(uri, RESOURCES[uri]) if uri in RESOURCES else None
        name = str(params.get("name"))
        if method != "tools/call" or name not in self._wire:
            return None
        return Wanted(name, self._needed(name), {"arguments": params.get("arguments")})

    def _needed(self, name: str) -> Access:
        return needed(name, self._wire[name]["annotations"])

    def _tool_input_schema(self, name: str) -> dict[str, Any] | None:
        shape = self._wire.get(name)
        return shape and shape["inputSchema"]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Services, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        caller = caller_of(context)
        limit = self.services.waits.limit(caller)  # what its first call imports is on its time as well
        try:
            self._count(context)
            spec, given = await self._admitted(name, arguments)
            known = self._wire[name]["inputSchema"]["properties"]
            waits = wire.WAIT in known or spec.job is not None
            keep_s = min(self.services.settings.runtime.rejoin_s, FRESH_S if spec.read_only else math.inf)
            asked = Asked(caller, name, given, limit, partial(gone, context), waits, keep_s)
            return await self.services.in_flight.answer(asked, partial(self._in_context, spec, given, context))
        except ToolFailure as failure:
            if (span := current_span()) is not None:
                span.error_type = type(failure).__name__
            raise ToolError(legible(str(failure))) from failure

    async def _admitted(self, name: str, arguments: dict[str, Any]) -> tuple[ToolSpec, CallArguments]:
        """The tool and what was meant; what is refused of one that changes something is written down as well."""
        try:
            spec = self._spec(name)
            self.services.warm_later(WARM_AFTER_S)
            known = self._wire[name]["inputSchema"]["properties"]
            return spec, admitted(name, known, self._metadata(spec).arg_model, arguments)
        except ToolFailure as failure:
            if name in self._wire and self._needed(name) != "read":
                await self.services.audit.note(name, refusal_of(failure), arguments)
            raise

    async def _in_context(
        self, spec: ToolSpec, given: CallArguments, context: Context[Services, Any] | None, asked: Asked
    ) -> CallToolResult | InputRequiredResult:
        """The answer to a call, in a task of its own: what is set here holds for nothing else."""
        CONTEXT.set(self._tool_context(spec, given, context, asked))
        with briefly(not given.full):
            answer = await self._written_down(spec, given, context, asked.caller)
        await self._note_changes(spec, given, answer)
        return answer

    async def _written_down(
        self, spec: ToolSpec, given: CallArguments, context: Context[Services, Any] | None, caller: Caller
    ) -> CallToolResult | InputRequiredResult:
        answering = partial(self._answer_or_question, spec, given, context, caller)
        return await (answering() if spec.read_only else self.services.audit.call(spec.name, given.own, answering))

    async def _answer_or_question(
        self, spec: ToolSpec, given: CallArguments, context: Context[Services, Any] | None, caller: Caller
    ) -> CallToolResult | InputRequiredResult:
        # A key stands for the arguments as they were given, so nothing in them is replaced.
        return await settled(
            lambda own, picked: self._answer(spec, replace(given, own=own), context, caller, picked),
            given.own,
            context,
            self.services.rounds,
            fixed=bool(given.key),
        )

    async def _note_changes(
        self, spec: ToolSpec, given: CallArguments, answer: CallToolResult | InputRequiredResult
    ) -> None:
        if not spec.read_only and isinstance(answer, CallToolResult) and not answer.is_error:
            await self.services.changes.made(self._toolset_of[spec.name], given.own, answer.structured_content or {})

    async def _answer(
        self,
        spec: ToolSpec,
        given: CallArguments,
        context: Context[Services, Any] | None,
        caller: Caller,
        picked: Mapping[str, str],
    ) -> CallToolResult | InputRequiredResult:
        await self._require_allowed(spec, given, picked)
        if not (spec.read_only or spec.destructive):  # what frees the disk is never refused for want of it
            await self.services.require_disk(acting().name)
        if not given.key or spec.job:
            return await self._run(spec, given.own, context)
        return await self.services.answers.once(
            caller.scope,
            spec.name,
            given.key,
            given.same,
            lambda: self._run_to_the_end(spec, given.own, context),
        )

    async def _require_allowed(self, spec: ToolSpec, given: CallArguments, picked: Mapping[str, str]) -> None:
        if self._policy.given:
            attempt = self._attempt(spec, given)
            judged = replace(attempt, called=await self._called(attempt))
            await anyio.to_thread.run_sync(self._policy.require, judged, picked)  # it reads links of the file system

    async def facts(self, spec: PromptSpec, given: Mapping[str, str], context: Context[Services, Any] | None) -> str:
        return await looked_up(spec, given, partial(self.read, context))

    async def read(
        self, context: Context[Services, Any] | None, name: str, arguments: dict[str, Any]
    ) -> Mapping[str, Any]:
        """What a tool that only reads answers to whoever acts, for what shows it elsewhere. Nobody is asked anything.

        It sets what holds for its task, and whoever stops waiting for it has not given up a call.

        Raises:
            ToolFailure: it may not be called, or says no.
            ToolError: it has crashed.
        """
        capture = self.services.settings.tracing.capture_for(self._toolset_of.get(name, ""))
        with self.services.tracer.span(name, "tool", input=arguments, capture=capture) as span:
            found = await self.answer_to(context, name, arguments)
            span.set_output(found)
            return found

    async def answer_to(
        self, context: Context[Services, Any] | None, name: str, arguments: dict[str, Any]
    ) -> Mapping[str, Any]:
        """As `read`, and traced by nobody, for what is asked at every letter that somebody types."""
        if name not in self._wire:
            raise ToolFailure(f"this server does not publish {name}", "Ask one that serves all its toolsets.")
        spec, given = await self._admitted(name, arguments)
        assert spec.read_only or name in PLAINLY, f"{name} changes something"
        caller = caller_of(context)
        asked = Asked(caller, name, given, self.services.waits.limit(caller), partial(gone, context))
        CONTEXT.set(self._tool_context(spec, given, context, asked))
        return await self._read(spec, given, context, caller)

    async def _read(
        self, spec: ToolSpec, given: CallArguments, context: Context[Services, Any] | None, caller: Caller
    ) -> Mapping[str, Any]:
        if plainly := PLAINLY.get(spec.name):
            await self._require_allowed(spec, given, {})
            return await plainly(self.services.calls, self._toolset_of[spec.name], given.own)
        with briefly(True):
            answer = await self._answer(spec, given, context, caller, {})
        found = answer.structured_content if isinstance(answer, CallToolResult) else None
        return found if isinstance(found, dict) else {}

    async def _run_to_the_end(
        self, spec: ToolSpec, arguments: dict[str, Any], context: Context[Services, Any] | None
    ) -> CallToolResult:
        result = await self._run(spec, arguments, context)
        # A question is not the answer that a key stands for.
        assert isinstance(result, CallToolResult), f"{spec.name} takes a key and asks for input"
        return result

    async def _run(
        self, spec: ToolSpec, arguments: dict[str, Any], context: Context[Services, Any] | None
    ) -> CallToolResult | InputRequiredResult:
        try:
            result = await super().call_tool(spec.name, arguments, context)
        except UnexpectedToolError as error:
            if isinstance(error.__cause__, ToolFailure):
                raise error.__cause__ from None
            raise crashed(spec.name, error.__cause__ or error) from error.__cause__
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise invalid(spec.name, error.__cause__) from None
            raise
        return compact(result) if isinstance(result, CallToolResult) else result

    def _spec(self, name: str) -> ToolSpec:
        """The tool, imported and registered at its first use."""
        if name in self._published.withheld:
            raise self._published.refusal(name)
        if name not in self._toolset_of:
            raise unknown("tool", name, self._toolset_of)
        Wanted(name, self._needed(name)).require(acting())
        self._policy.require_known(name)
        if name not in self._specs:
            for spec in catalog.load(self._toolset_of[name]).tools:
                self._specs[spec.name] = spec
        spec = self._specs[name]
        if self._tool_manager.get_tool(name) is None:
            self.add_tool(spec.function, title=spec.title)
        return spec

    def _attempt(self, spec: ToolSpec, given: CallArguments) -> Attempt:
        """The call as the tool gets it: read, turned into its types, with all defaults."""
        known = self._wire[spec.name]["inputSchema"]["properties"]
        common = {name: value for name, value in given.common.items() if name in known}
        own = taken(spec.name, self._metadata(spec).arg_model, given.own)
        return Attempt(spec.name, common | own, acting(), spec.read_only)

    async def _called(self, attempt: Attempt) -> dict[str, list[str]]:
        """The other names of what a call names, as far as a rule speaks of such things.

        Raises:
            ToolFailure: whoever knows them cannot say; then nobody can tell what is forbidden.
        """
        found: dict[str, list[str]] = {}
        asked = await anyio.to_thread.run_sync(self._policy.asks, attempt)
        for slice_name, texts in asked.items():
            with suppress(NotInstalled):  # so that nothing of its kinds is there
                told = await self.services.calls.call(slice_name, names_of(slice_name), texts)
                for text, names in told.items():
                    found.setdefault(text, []).extend(names)
        return found

    def _metadata(self, spec: ToolSpec) -> FuncMetadata:
        tool = self._tool_manager.get_tool(spec.name)
        assert tool is not None
        return tool.fn_metadata

    def _tool_context(
        self, spec: ToolSpec, given: CallArguments, context: Context[Services, Any] | None, asked: Asked
    ) -> ToolContext:
        return ToolContext(
            self.services.calls,
            self.services.jobs,
            spec.name,
            self._toolset_of[spec.name],
            context.report_progress if context else _nobody,
            self.services.settle,
            given.key,
            given.budget,
            short=spec.job == "short",
            keyed=spec.takes_key,
            scope=asked.caller.scope,
            limit=asked.limit,
            gone=asked.gone,
            handoff=handoff_of(context),
        )


async def _nobody(_done: float, _total: float, _message: str) -> None: ...


def compact(result: CallToolResult) -> CallToolResult:
    """The structured result as JSON text without blanks and absent values: half of the tokens, nothing less said.

    Texts that come from data are made legible in both; what is no text, such as a picture, stays beside them.
    """
    if result.structured_content is None:
        return result
    shown = legible_parts(result.structured_content)
    text = json.dumps(_present(shown), ensure_ascii=False, separators=(",", ":"))
    others = [block for block in result.content if not isinstance(block, TextContent)]
    return result.model_copy(
        update={"structured_content": shown, "content": [TextContent(type="text", text=text), *others]}
    )


def _present(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _present(item) for key, item in value.items() if item is not None}
    return [_present(item) for item in value] if isinstance(value, list) else value
