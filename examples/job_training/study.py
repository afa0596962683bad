"""A scripted agent asks an experiment and a survey what a job training was worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client

from ...tools.tracing.ids import uuid7
from ..credit_risk.session import WAIT_S, Session, server_parameters

DATA = Path(__file__).parent
KNOWN = ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75"]


@dataclass(frozen=True)
class Told:
    """Dollars of 1978 a year, with a 95 % interval; `notes` are what the server says of it unasked."""

    question: str
    rows: int
    value: float
    interval: tuple[float, float]
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        low, high = self.interval
        return f"| {self.question} | {self.rows:,} | {self.value:+,.0f} | {low:+,.0f} to {high:+,.0f} |"


async def study(home: Path) -> list[Told]:
    """The experiment, the plain difference in the survey, and the survey once what is known is taken into account."""
    async with Client(server_parameters(home, DATA)) as client:
        session = Session(client, uuid7())
        lottery = await effect(session, "experiment", randomised=True)
        survey = await effect(session, "survey", controls=KNOWN, estimand="treated")
    return [
        told("experiment: difference of the arms", lottery["rows"], lottery["difference"]),
        told("survey: difference of the arms", survey["rows"], survey["difference"]),
        told("survey: with what is known of before", survey["rows"], survey["effect"], survey["notes"]),
    ]


async def effect(session: Session, table: str, **how: Any) -> dict[str, Any]:
    file = str(DATA / f"{table}.parquet")
    return await session.call("estimate_effect", dataset=file, treatment="treat", outcome="re78", wait_s=WAIT_S, **how)


def told(question: str, rows: int, found: dict[str, Any], notes: list[str] | None = None) -> Told:
    low, high = found["interval"]
    return Told(question, rows, found["value"], (low, high), tuple(notes or ()))


def report(found: list[Told]) -> str:
    lines = [
        "| what was asked | men | dollars a year | 95 % interval |",
        "|---|---|---|---|",
        *(each.line for each in found),
    ]
    return "\n".join([*lines, "", *(f"note: {note}" for each in found for note in each.notes)])
