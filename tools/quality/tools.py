"""Tools of the quality slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..paging import Cursor, Limit, Page
from ..runtime.models import JobView, Wait
from ..spec import Injected, Toolset, reads, writes
from ..vocabulary import Dataset
from ..vocabulary import Suite as SuiteHandle
from . import client, docs, failures, kinds, suggest
from .models import (
    Condition,
    DataDocs,
    DocsRequest,
    Expectation,
    ExpectationType,
    StoredValidation,
    SuggestedSuite,
    Suite,
    SuiteInfo,
    Validation,
)


async def create_suite(context: Injected, name: str, expectations: list[Expectation]) -> SuiteInfo:
    """Store rules as a suite, or as its next version. Types are those of Great Expectations, e.g.
    expect_column_values_to_be_between."""
    return await context.call(client.create_suite, name, expectations)


async def suggest_suite(
    context: Injected,
    dataset: Dataset,
    name: Annotated[str, Field(description="Default: <dataset>_suite")] = "",
) -> SuggestedSuite:
    """Store rules that a dataset keeps as a suite, each with its reason; create_suite edits it."""
    return await context.call(suggest.suggest_suite, dataset, name)


async def list_expectations(
    context: Injected,
    search: Annotated[str, Field(description="E.g. unique.")] = "",
    limit: Limit = 15,
    cursor: Cursor = "",
) -> Page[ExpectationType]:
    """List the rule types of create_suite with their kwargs (* needed)."""
    return await context.call(kinds.list_expectations, search, limit, cursor)


async def get_suite(
    context: Injected,
    suite: SuiteHandle,
    detail: Annotated[client.Detail, Field(description="full: whole value sets.")] = "short",
    limit: Limit = 20,
    cursor: Cursor = "",
) -> Suite:
    """Show the rules of a suite."""
    return await context.call(client.get_suite, suite, detail, limit, cursor)


async def list_suites(context: Injected, limit: Limit = 20, cursor: Cursor = "") -> Page[SuiteInfo]:
    """List suites, the built-in ones included."""
    return await context.call(client.list_suites, limit, cursor)


async def get_default_suite(
    context: Injected, task: Annotated[str, Field(description="E.g. classification, regression.")]
) -> Suite:
    """Show the suite that is configured for a kind of problem."""
    return await context.call(client.get_default_suite, task)


async def validate_dataset(
    context: Injected,
    dataset: Dataset,
    suite: SuiteHandle,
    split: Annotated[str, Field(description="Only rows whose column `split` is this.")] = "",
    row_condition: Annotated[list[Condition] | None, Field(description="Only rows that satisfy all.")] = None,
    detail: Annotated[client.Detail, Field(description="full: passed rules too.")] = "short",
) -> Validation:
    """Validate a dataset by a suite; each rule is passed, failed or not_evaluated."""
    return await context.call(client.validate_dataset, dataset, suite, split, row_condition or [], detail)


async def get_validation(
    context: Injected,
    validation: Annotated[str, Field(description="validation:<id>")],
    rule: Annotated[int, Field(ge=0, description="Its number; 0: all.")] = 0,
    limit: Limit = 20,
    cursor: Cursor = "",
) -> StoredValidation:
    """Read a validation again; failing rows become a dataset with their row numbers. With `rule`: its bad values."""
    return await context.call(failures.get_validation, validation, rule, limit, cursor)


async def create_data_docs(
    context: Injected,
    limit: Annotated[int, Field(ge=0, le=100, description="Newest validations to show.")] = 20,
    wait_s: Wait = None,
) -> JobView[DataDocs]:
    """Build Great Expectations' static site of all suites and validations."""
    return await context.submit(docs.create_data_docs, DocsRequest(limit=limit), wait_s)


TOOLSET = Toolset(
    name="quality",
    description="Data validation by suites of rules.",
    tools=(
        writes(create_suite, "Create suite", idempotent=True),
        writes(suggest_suite, "Suggest suite", idempotent=True),
        reads(list_expectations, "List expectations"),
        reads(get_suite, "Get suite"),
        reads(list_suites, "List suites"),
        reads(get_default_suite, "Get default suite"),
        writes(validate_dataset, "Validate dataset", idempotent=True),
        writes(get_validation, "Get validation", idempotent=True),
        writes(create_data_docs, "Create data docs", job="short", idempotent=True),
    ),
)
