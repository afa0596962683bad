"""A scripted agent watches a model as its customers change, and promotes another only where it is better."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from mcp import Client

from ...tools.tracing.ids import uuid7
from ..credit_risk.agent import DATA, TARGET
from ..credit_risk.session import WAIT_S, Session, server_parameters

NAME = "owners_and_tenants"
COLUMNS = "person_age, person_income, person_emp_length, loan_intent, loan_amnt, loan_int_rate, loan_status"
OWNERS, TENANTS = "('OWN', 'MORTGAGE')", "('RENT')"
# Of these loans, every so many; the four tables share none.
EVERY = 4


async def tell(home: Path) -> AsyncGenerator[str]:
    """What the agent did and found, a line each."""
    async with Client(server_parameters(home, DATA)) as client:
        session = Session(client, uuid7())
        owners, tenants = await loans(session, "owners", OWNERS, 0), await loans(session, "tenants", TENANTS, 0)
        held_owners, held = await loans(session, "held_owners", OWNERS, 1), await loans(session, "held", TENANTS, 1)
        first = await train(session, owners)
        yield f"trained on owners:     {said(await promote(session, first, held_owners))}"
        compared = await waited(session, "compare_datasets", reference=owners, current=tenants)
        yield f"owners and tenants:    {drift(compared)}"
        yield f"the model on tenants:  {score(await waited(session, 'evaluate_model', model=first, dataset=held))}"
        both = await query(session, "both", f'SELECT * FROM "{owners}" UNION ALL SELECT * FROM "{tenants}"')
        second = await train(session, both)
        yield f"trained on both:       {said(await promote(session, second, held))}"
        yield f"the old one once more: {said(await promote(session, first, held))}"
        versions = (await session.call("get_model", model=NAME))["versions"]
        yield "versions:              " + ", ".join(f"{each['model']} {each['stage']}" for each in versions)


async def loans(session: Session, name: str, ownership: str, part: int) -> str:
    rows = f"person_home_ownership IN {ownership} AND loan_id % {EVERY} = {part}"
    return await query(session, name, f'SELECT {COLUMNS} FROM "{DATA / "loan_table.parquet"}" WHERE {rows}')


async def query(session: Session, name: str, sql: str) -> str:
    return str((await session.call("query_dataset", sql=sql, name=f"{NAME}_{name}"))["dataset"])


async def waited(session: Session, tool: str, **arguments: Any) -> dict[str, Any]:
    return await session.call(tool, wait_s=WAIT_S, **arguments)


async def train(session: Session, dataset: str) -> str:
    made = await waited(session, "train_model", dataset=dataset, target=TARGET, algorithm="LogisticRegression")
    return str(made["model"])


async def promote(session: Session, model: str, dataset: str) -> dict[str, Any]:
    gates = ["load", "signature", "comparison"]
    return await waited(session, "promote_model", model=NAME, candidate=model, dataset=dataset, gates=gates)


def drift(found: dict[str, Any]) -> str:
    changed = [each["column"] for each in found["columns"] if each["verdict"] == "drifted"]
    return f"{len(changed)} of {found['compared']} columns have drifted: {', '.join(changed)}"


def score(found: dict[str, Any]) -> str:
    low, high = found["score"]["interval"]
    return f"AUC {found['score']['value']:.3f} [{low:.3f}, {high:.3f}]"


def said(found: dict[str, Any]) -> str:
    compared = found["comparison"]
    gain = compared["gain"]
    low, high = gain["interval"]
    against = f"{compared['candidate_score']:.3f} against {compared['against_score']:.3f} of {compared['against']}"
    return f"{found['verdict']}: AUC {against}, a gain of {gain['value']:+.3f} [{low:+.3f}, {high:+.3f}]"
