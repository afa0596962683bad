"""Rows of requests joined with what the online store holds of their keys, as the model takes them.

A row names its key as the view does, beside the values that only the request knows; those of the request count.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from ..errors import ToolFailure
from ..features.models import OnlineFeatures, OnlineRow
from ..handles import parse
from ..modeling.card import Feature
from ..modeling.shipped import canonical
from .models import Row

WHOLE = re.compile(r"-?\d{1,30}", re.ASCII)
# Between a view and its feature, where both are named.
BETWEEN = "__"
REASONS: Mapping[str, str] = {
    "unknown": "have a key that the online store does not hold",
    "expired": "have values that are older than the ttl of their view",
    "partly": "have values of some views only",
}


def asked(rows: list[Row] | None, features: Sequence[str] | None, dataset: str) -> list[Row]:
    """The rows that a call gives itself.

    Raises:
        ToolFailure: none and no dataset, or what does not go together.
    """
    if bool(rows) == bool(dataset):
        raise ToolFailure("predict takes rows or a dataset", "Pass one of both.")
    if features and dataset:
        instead = "get_historical_features joins them to a dataset, which is then predicted."
        raise ToolFailure("features are joined to rows, not to a dataset", instead)
    return rows or []


def joined(rows: Sequence[Row], known: OnlineFeatures, features: Sequence[Feature]) -> tuple[list[Row], list[str]]:
    """The rows with all that is known of their keys, without what the model has no use for, and what to know of it.

    Args:
        known: for each row what the store holds, each value under the name of its view and its own.
        features: of the model.
    """
    kinds = {feature.name: feature.kind for feature in features}
    found = [_joined(row, online, kinds) for row, online in zip(rows, known.rows, strict=True)]
    states = Counter(online.status for online in known.rows)
    notes = [f"{count} of {len(rows)} rows {REASONS[state]}" for state, count in states.items() if state in REASONS]
    # What the store says of the rows as a whole is said above.
    return found, [*(note for note in known.notes if not note.endswith(": see status")), *notes]


def _joined(row: Row, online: OnlineRow, kinds: Mapping[str, str]) -> Row:
    stored = {name: value for name, value in _named(online).items() if name in kinds}
    own = {name: value for name, value in row.items() if name in kinds or name not in online.key}
    return {name: _as_trained(value, kinds[name]) for name, value in stored.items()} | own


def _named(online: OnlineRow) -> Mapping[str, JsonValue]:
    """The values under each name that a training set may give them; one that two views share says nothing alone."""
    views = [parse(handle, "features").name + BETWEEN for handle in online.as_of]
    short = [(name.removeprefix(view), name) for view in views for name in online.values if name.startswith(view)]
    times = Counter(name for name, _ in short)
    return {name: online.values[full] for name, full in short if times[name] == 1} | online.values


def _as_trained(value: JsonValue, kind: str) -> JsonValue:
    """Of a stored value the type is known, so it is no guess what it was in training."""
    if kind == "number":
        return float(value) if isinstance(value, str) and WHOLE.fullmatch(value) else value
    return canonical(value) if isinstance(value, int | float) else value
