"""The shape of estimates: digits are cut where an answer goes out, and nowhere before."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from mlops_mcp.server.arguments import admitted
from mlops_mcp.tools import wire
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.estimates import Estimate, briefly, holds_statistics

THIRD = 123.456789012345


class Answer(BaseModel):
    found: list[Estimate]
    cell: float


ANSWER = Answer(found=[Estimate(value=THIRD, interval=(THIRD, 2 * THIRD), n=7)], cell=THIRD)


def test_a_statistic_is_told_with_six_digits_and_a_cell_of_data_with_all() -> None:
    with briefly(True):
        told = ANSWER.model_dump(mode="json")
    assert told["found"][0]["value"] == 123.457
    assert told["found"][0]["interval"] == [123.457, 246.914]
    assert told["cell"] == THIRD


@pytest.mark.parametrize("detail", [None, "full"])
def test_what_is_stored_and_what_is_asked_for_in_full_keeps_its_digits(detail: str | None) -> None:
    stored = TypeAdapter(Answer).dump_json(ANSWER)
    with briefly(detail is None):
        read = TypeAdapter(Answer).validate_json(stored)
    assert read == ANSWER


def test_within_a_result_of_any_type_its_own_rounding_holds() -> None:
    class Holder(BaseModel):
        result: Any

    with briefly(True):
        assert Holder(result=ANSWER).model_dump(mode="json")["result"]["found"][0]["value"] == 123.457


def test_a_schema_says_whether_anything_in_it_is_rounded() -> None:
    assert holds_statistics(Answer.model_json_schema(mode="serialization"))
    assert not holds_statistics({"properties": {"cell": {"type": "number"}}})


def test_a_detail_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ToolFailure, match="short"):
        admitted("get_job", wire.COMMON, BaseModel, {wire.DETAIL: "everything"})
