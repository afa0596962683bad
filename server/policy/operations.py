"""What several tools do alike: a rule that names the operation holds for each of them, and for those to come.

A test follows the code of every tool to what does it, so that none is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from ...tools.errors import unknown
from .matching import NOT

SIGN = "@"
OPERATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # A model becomes a version of a registered name.
        "@registers": ("import_model", "log_model", "promote_model", "register_model"),
        # Another version is the one in a stage, Production among them.
        "@promotes": ("promote_model", "rollback_model", "transition_stage"),
        # Other bentos are served than before, here or where an export is applied, or get other shares of the calls.
        "@deploys": ("apply_deployment", "deploy_model", "export_deployment", "rollback_endpoint", "set_traffic"),
    }
)


def tools_of(names: Iterable[str]) -> Iterator[str]:
    """The names and patterns of a rule, with the tools in place of an operation; `!` before one takes all out.

    Raises:
        ToolFailure: an operation that there is not.
    """
    for name in names:
        operation = name.removeprefix(NOT)
        if not operation.startswith(SIGN):
            yield name
            continue
        if operation not in OPERATIONS:
            raise unknown("operation", operation, OPERATIONS)
        yield from (name.replace(operation, tool) for tool in OPERATIONS[operation])
