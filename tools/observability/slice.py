"""What the tree knows of the observability slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    floor=5,
    extra="observability",
    libraries=("opik", "anthropic"),
    handles=("trace", "decision"),
    removes=("decision",),
    reach="network",
)
