"""What lies in BentoML's store, whoever has put it there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving.bentos import find_bento
from mlops_mcp.tools.serving.stored import list_bentos

BENTO = {
    "service": "service:Summarization",
    "name": "summarization",
    "version": "one",
    "bentoml_version": "1.4.0",
    "creation_time": "2026-11-01T10:00:00+00:00",
    "labels": {"owner": "bentoml-team", "stage": "dev"},
    "models": [],
}


def laid(work: Work, place: str, tag: str, file: str, content: str) -> Path:
    folder = work.settings.bentoml_home.joinpath(place, *tag.split(":"))
    folder.mkdir(parents=True)
    (folder / file).write_text(content, encoding="utf-8")
    return folder


def everything_in(folder: Path) -> dict[str, str]:
    files = (each for each in folder.rglob("*") if each.is_file())
    return {str(each): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def test_bentos_and_models_of_others_are_listed_with_why_they_are_not_deployed_and_stay_as_they_are(work: Work) -> None:
    laid(work, "bentos", "summarization:one", "bento.yaml", yaml.safe_dump(BENTO))
    (work.settings.bentoml_home / "bentos/summarization/latest").write_text("one", encoding="utf-8")
    made = {"name": "m", "module": "bentoml.sklearn", "creation_time": "2026-11-01T09:00:00+00:00", "labels": {}}
    laid(work, "models", "m:two", "model.yaml", yaml.safe_dump(made))
    before = everything_in(work.settings.bentoml_home)
    bento, model = list_bentos(work, 10, "").items
    assert (bento.name, bento.kind, bento.ours, bento.deployable) == ("bento:summarization:one", "bento", False, False)
    assert (bento.service, bento.labels) == ("service:Summarization", {"owner": "bentoml-team", "stage": "dev"})
    assert "not packaged here" in str(bento.why)
    assert (model.name, model.service, model.deployable) == ("model:m:two", "bentoml.sklearn", False)
    assert "without a service" in str(model.why)
    with pytest.raises(ToolFailure, match="was not packaged by this server"):
        find_bento(work, bento.name)
    assert everything_in(work.settings.bentoml_home) == before


# A few lines that stand for a million values.
BOMB = (
    "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 10)}]" for n in range(6)) + "\nlabels: {l: *a5}"
)


@pytest.mark.parametrize("content", ["a: [", "!!python/object/apply:os.system [x]", "\x00", BOMB])
def test_a_description_that_cannot_be_read_hides_no_other(work: Work, content: str) -> None:
    laid(work, "bentos", "broken:one", "bento.yaml", content)
    laid(work, "bentos", "summarization:one", "bento.yaml", yaml.safe_dump(BENTO))
    broken, whole = list_bentos(work, 10, "").items
    assert "cannot be read" in str(broken.why)
    assert whole.service == "service:Summarization"


def test_what_calls_itself_ours_and_is_not_is_not_deployable(work: Work) -> None:
    folder = laid(work, "bentos", "fake:one", "bento.yaml", yaml.safe_dump(BENTO | {"name": "fake"}))
    (folder / "src").mkdir()
    (folder / "src/spec.json").write_text("{}", encoding="utf-8")
    (found,) = list_bentos(work, 10, "").items
    assert (found.ours, found.deployable) == (False, False)
    assert "spec.json" in str(found.why)


def test_an_empty_store_lists_nothing_and_a_long_one_is_paged(work: Work) -> None:
    assert list_bentos(work, 10, "").items == []
    for number in range(5):
        laid(work, "bentos", f"b:{number}", "bento.yaml", yaml.safe_dump(BENTO))
    first = list_bentos(work, 2, "")
    assert (first.total, first.next_cursor, len(first.items)) == (5, "2", 2)
    assert [each.name for each in list_bentos(work, 2, "4").items] == ["bento:b:4"]
