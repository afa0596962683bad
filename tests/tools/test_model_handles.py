import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.handles import Handle, parse_model


@pytest.mark.parametrize(
    ("text", "handle"),
    [
        ("credit", Handle("model", "credit")),
        ("model:credit", Handle("model", "credit")),
        (" models:/credit ", Handle("model", "credit")),
        ("model:credit/3", Handle("model", "credit", "3")),
        ("models:/credit/3", Handle("model", "credit", "3")),
        ("credit@best", Handle("model", "credit", alias="best")),
        ("models:/m-dash@best", Handle("model", "m-dash", alias="best")),
    ],
)
def test_a_model_is_read_in_every_spelling(text: str, handle: Handle) -> None:
    assert parse_model(text) == handle
    assert parse_model(str(handle)) == handle


@pytest.mark.parametrize(
    "text", ["", "models:/", "model:", "model:a/", "a@", "@b", "/1", "a/1@b", "a@b/1", "run:1", "a:b", "m-" + "0" * 32]
)
def test_what_names_no_registered_model_is_refused(text: str) -> None:
    with pytest.raises(ToolFailure):
        parse_model(text)
