"""A row of the job table names a function: only one that jobs run is ever resolved, whatever the row says."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from pydantic import BaseModel

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.jobs.functions import function_of, reference_of, resolve
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tuning.client import tune_model
from mlops_mcp.tools.tuning.models import Tuned, TuneRequest


class Request(BaseModel):
    command: str = ""


def plain(work: Work, request: str) -> str:
    return f"{work} {request}"


def typed(request: Request) -> Request:
    return request


def without_result(work: Work, request: Request):  # type: ignore[no-untyped-def]
    return work, request


def of_another(work: str, request: Request) -> Request:
    return request


@pytest.mark.parametrize(
    "reference",
    [
        "os:system", "subprocess:run", "subprocess:Popen", "builtins:eval", "shutil:rmtree", "pickle:loads",
        "runpy:run_path", "importlib:import_module", "mlops_mcp.tools.tuning.client:Lineage",
        "mlops_mcp.tools.tuning.client:check_name", "mlops_mcp.tools.storage.state_files:replaced",
    ],
)  # fmt: skip
def test_what_a_tampered_row_names_is_no_job(reference: str) -> None:
    for look in (resolve, function_of):
        with pytest.raises(ToolFailure, match="is no function that jobs run"):
            look(reference)


@pytest.mark.parametrize("function", [plain, typed, without_result, of_another])
def test_a_function_of_another_form_is_no_job(function: object) -> None:
    with pytest.raises(ToolFailure, match="is no function that jobs run"):
        resolve(f"{__name__}:{function.__name__}")  # type: ignore[attr-defined]  # pyright: ignore


def test_a_function_that_was_put_into_another_module_is_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType("other")
    other.borrowed = tune_model  # type: ignore[attr-defined]  # pyright: ignore
    monkeypatch.setitem(sys.modules, "other", other)
    with pytest.raises(ToolFailure, match="is no function that jobs run"):
        resolve("other:borrowed")


def test_the_functions_of_tools_are_resolved_with_their_types() -> None:
    found = resolve(reference_of(tune_model))
    assert (found.call, found.request, found.result) == (tune_model, TuneRequest, Tuned)
