"""In whose name code runs: that of the token which a request came with, else of whoever has the machine.

And in whose lane it waits.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

# Each allows what those before it do.
Access = Literal["read", "write", "admin"]
ACCESSES: tuple[Access, ...] = get_args(Access)


@dataclass(frozen=True)
class Identity:
    """Who calls. `name` is that of its token; without tokens everybody is the one owner of everything."""

    name: str = ""
    access: Access = "admin"

    def owns(self, owner: str) -> bool:
        """Whether it may see and end what belongs to an owner."""
        return self.access == "admin" or self.name == owner

    def allows(self, needed: Access) -> bool:
        return ACCESSES.index(self.access) >= ACCESSES.index(needed)


# A digest of the caller, which tells those without a token apart as well.
_lane: ContextVar[str] = ContextVar("mlops_mcp_lane", default="")
_acting: ContextVar[Identity] = ContextVar("mlops_mcp_identity", default=Identity())  # noqa: B039 (frozen)


def acting() -> Identity:
    """In whose name the running code acts."""
    return _acting.get()


@contextmanager
def acting_as(identity: Identity) -> Generator[None]:
    """Run the body in somebody's name."""
    token = _acting.set(identity)
    try:
        yield
    finally:
        _acting.reset(token)


def acting_lane() -> str:
    """In which lane the running code waits: one for each caller, so that none waits behind all of another's."""
    return _lane.get()


@contextmanager
def in_lane(lane: str) -> Generator[None]:
    """Let the body wait in a lane."""
    token = _lane.set(lane)
    try:
        yield
    finally:
        _lane.reset(token)
