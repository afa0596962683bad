"""Ship what waits: whole batches, halves of those that are refused, and in the end the one row that is to blame."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..ids import is_uuid7
from .bodies import Body, Kind, Labels, sampled, score_body, span_body, trace_body
from .client import Later, Refused, Sender
from .outbox import KINDS, Outbox

Row = Mapping[str, Any]
Make = Callable[[Row, Callable[[str], str], Labels], Body]
MAKE: Mapping[Kind, Make] = {
    "traces": trace_body,
    "spans": span_body,
    "trace_scores": score_body,
    "span_scores": score_body,
}
MAX_BLAMED = 10
TRIES = 3
LARGE = ("input", "output", "metadata", "error_trace", "error", "reason")


@dataclass(frozen=True)
class Limits:
    """Of one request, and how long something must have run to be shipped as started."""

    rows: int = 200
    characters: int = 3_000_000
    started_after_s: float = 2.0


@dataclass(frozen=True)
class Parcel:
    row: Row
    body: Body


@dataclass(frozen=True)
class Delivery:
    """Everything that is needed to ship to one target."""

    outbox: Outbox
    sender: Sender
    labels: Labels
    sampling_rate: float
    limits: Limits = Limits()
    # After several failures: send rows one by one to find out whether some of them are to blame.
    careful: bool = False

    def round(self) -> int:
        """Ship a batch of each kind; the number of rows. Raises Later; what was accepted before stays so."""
        self.outbox.claim()
        return sum(self._of_kind(kind) for kind in KINDS)

    def _of_kind(self, kind: Kind) -> int:
        rows = self.outbox.batch(kind, self.limits.rows, time.time() - self.limits.started_after_s)
        for parcels in self._batches(self._parcels(kind, rows)):
            self._ship(kind, parcels)
        return len(rows)

    def _parcels(self, kind: Kind, rows: Sequence[Row]) -> list[Parcel]:
        wanted = {row["id"] for row in rows if sampled(row["trace_id"], self.sampling_rate)}
        if left_out := [row for row in rows if row["id"] not in wanted]:
            self.outbox.hold(kind, left_out, "sampled")
        parcels: list[Parcel] = []
        for row in (row for row in rows if row["id"] in wanted):
            try:
                body = MAKE[kind](row, self.outbox.wire_id, self.labels)
                _require_identifiers(body)
                parcels.append(Parcel(row, body))
            # what an older version or another program has written
            except (ValueError, TypeError, OverflowError, OSError) as error:
                self.outbox.hold(kind, [row], "parked", f"no valid row: {error}")
        return parcels

    def _batches(self, parcels: Sequence[Parcel]) -> Iterator[list[Parcel]]:
        batch: list[Parcel] = []
        size = 0
        for parcel in parcels:
            length = sum(len(parcel.row.get(name) or "") for name in LARGE)
            if batch and size + length > self.limits.characters:
                yield batch
                batch, size = [], 0
            batch.append(parcel)
            size += length
        if batch:
            yield batch

    def _ship(self, kind: Kind, parcels: Sequence[Parcel]) -> None:
        rest: list[Parcel] = []
        for parcel in parcels:
            if self._must_be_amended(kind, parcel):
                self._attempt(kind, [parcel], partial(self.sender.amend, kind, parcel.body))
            else:
                rest.append(parcel)
        if rest and self.careful:
            self._one_by_one(kind, rest)
        elif rest:
            self._attempt(kind, rest, partial(self.sender.send, kind, [parcel.body for parcel in rest]))

    def _must_be_amended(self, kind: Kind, parcel: Parcel) -> bool:
        """Opik has it, under an id that is by now too old for an upsert."""
        identity = parcel.body["id"]
        known = kind in ("traces", "spans") and parcel.row["shipped"] and is_uuid7(identity)
        return bool(known and self.outbox.is_stale(identity))

    def _attempt(self, kind: Kind, parcels: Sequence[Parcel], send: Callable[[], None]) -> None:
        try:
            send()
        except Refused as refused:
            if len(parcels) == 1:
                self.outbox.hold(kind, [parcels[0].row], "parked", str(refused))
                return
            half = len(parcels) // 2
            self._ship(kind, parcels[:half])
            self._ship(kind, parcels[half:])
        else:
            self.outbox.accepted(kind, [parcel.row for parcel in parcels])

    def _one_by_one(self, kind: Kind, parcels: Sequence[Parcel]) -> None:
        """A row at which Opik crashes while it takes others is parked; when it takes none, Opik is to blame."""
        blamed: list[Parcel] = []
        accepted = False
        for parcel in parcels:
            crash = self._crash(kind, parcel)
            if crash is None:
                accepted = True
            elif not accepted and (len(blamed) >= MAX_BLAMED or parcel is parcels[-1]):
                raise crash
            else:
                blamed.append(parcel)
        for parcel in blamed:
            # Opik may have recovered since.
            if crash := self._every_time(kind, parcel):
                self.outbox.hold(kind, [parcel.row], "parked", str(crash))

    def _every_time(self, kind: Kind, parcel: Parcel) -> Later | None:
        """The crash, if Opik crashes at the row every time."""
        crash: Later | None = None
        for _ in range(TRIES):
            if (crash := self._crash(kind, parcel)) is None:
                return None
        return crash

    def _crash(self, kind: Kind, parcel: Parcel) -> Later | None:
        """Send one row; how Opik crashed at it, if it did."""
        try:
            self._attempt(kind, [parcel], partial(self.sender.send, kind, [parcel.body]))
        except Later as later:
            if not later.crashed:
                raise
            return later
        return None


def _require_identifiers(body: Body) -> None:
    """Opik refuses others, with everything that is sent along."""
    for name in ("id", "trace_id", "parent_span_id"):
        if not is_uuid7(str(body.get(name, body["id"]))):
            raise ValueError(f"{name} {body[name]} is no version 7 UUID")
