"""What a place to which exports are applied tells of it, whichever that is."""

from __future__ import annotations

from dataclasses import dataclass, field

# The export of what none of ours has made; no export is called so.
FOREIGN = "?"


@dataclass(frozen=True)
class Seen:
    """Where something is: an account or context and a part of it; its state in the words of that place, and urls."""

    context: str = ""
    namespace: str = ""
    state: str = ""
    urls: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Change:
    """Objects as `kind/name`: those that were changed or are there, and those that are another export's.

    `before` are the exports whose objects were there, empty for what was applied by hand; `new` tells that none was.
    """

    done: list[str]
    left: list[str]
    before: list[str]
    new: bool
    seen: Seen = Seen()
