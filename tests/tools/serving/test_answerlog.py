"""What a service keeps of what it was asked: a sample, in files that are bounded and private, and no secret."""

from __future__ import annotations

import json
import os
import random
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from mlops_mcp.tools.data import answers
from mlops_mcp.tools.data.answers import lines_of, log_folder, newest_bento, table_of
from mlops_mcp.tools.data.comparison import compare_datasets
from mlops_mcp.tools.data.models import CompareRequest
from mlops_mcp.tools.data.store import resolve, save
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import answerlog, endpoints
from mlops_mcp.tools.serving.answerlog import UNSEEN, Log, log_of
from mlops_mcp.tools.serving.endpoints import folder
from mlops_mcp.tools.serving.models import EndpointFile

SEEN: dict[str, Any] = {"age": {"levels": []}, "purpose": {"levels": ["car", "house"]}}


class Answer(NamedTuple):
    prediction: Any
    probabilities: list[float] | None = None


@pytest.fixture
def place(work: Work) -> Path:
    """The folder of the log of an endpoint, as it is made for one that keeps all."""
    made = log_folder(work, "endpoint:credit")
    made.mkdir(parents=True)
    endpoints.write(work, EndpointFile(endpoint="credit"))
    (made / answerlog.SAMPLE).write_text("1", encoding="ascii")
    return made


def log(work: Work, bento: str = "credit:1") -> Log:
    return log_of(str(folder(work, "credit", "some")), bento, SEEN)


def row(age: float = 30.0, purpose: Any = "car") -> dict[str, Any]:
    return {"age": age, "purpose": purpose}


def test_what_was_sent_and_answered_is_read_back_as_a_dataset(work: Work, place: Path) -> None:
    log(work).note([row(), row(float("nan"), float("nan"))], [Answer(1, [0.25, 0.75]), Answer(0, [1.0, 0.0])], [0, 1])
    log(work, "credit:2").note([row(3.0, "house")], [Answer(1, [0.0, 1.0])], [0, 1])
    made = resolve(work, "endpoint:credit")
    table = made.table()
    assert made.handle.startswith("dataset:credit_answers@")
    assert {name: table.column(name).to_pylist() for name in table.column_names[1:]} == {
        "bento": ["credit:1", "credit:1", "credit:2"],
        "age": [30.0, None, 3.0],
        "purpose": ["car", None, "house"],
        "prediction": [1, 0, 1],
        "probability_0": [0.25, 1.0, 0.0],
        "probability_1": [0.75, 0.0, 1.0],
    }
    assert table.schema.field("answered_at").type == pa.timestamp("us", "UTC")
    assert newest_bento(work, "endpoint:credit") == "bento:credit:2"


def test_a_text_that_training_never_saw_is_not_written_down(work: Work, place: Path) -> None:
    log(work).note([row(purpose="sk-ant-0123456789abcdef"), row(purpose="ann@example.org")], [Answer(1.5)] * 2, [])
    assert [line["row"]["purpose"] for line in lines_of(work, "endpoint:credit")] == [UNSEEN, UNSEEN]
    written = b"".join(file.read_bytes() for file in place.iterdir())
    assert b"sk-ant" not in written
    assert b"ann@" not in written


def test_the_file_is_private_and_nothing_of_others_is_followed(work: Work, place: Path, tmp_path: Path) -> None:
    log(work).note([row()], [Answer(1)], [])
    assert stat.S_IMODE((place / answerlog.FILE).stat().st_mode) == 0o600
    (place / answerlog.FILE).unlink()
    (place / answerlog.FILE).symlink_to(tmp_path / "elsewhere")
    log(work).note([row()], [Answer(1)], [])
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_so_many_rows_are_kept_as_were_asked_for(work: Work, place: Path, share: float) -> None:
    Log(place, share, "credit:1", {}, random.Random(0)).note([row()] * 2000, [Answer(1)] * 2000, [])
    kept = len((place / answerlog.FILE).read_text().splitlines()) if share else 0
    assert abs(kept - 2000 * share) <= (60 if 0 < share < 1 else 0)


@pytest.mark.parametrize("said", ["", "many", None])
def test_without_a_share_nothing_is_kept(work: Work, place: Path, said: str | None) -> None:
    (place / answerlog.SAMPLE).unlink() if said is None else (place / answerlog.SAMPLE).write_text(said)
    log(work).note([row()], [Answer(1)], [])
    log_of("", "credit:1", SEEN).note([row()], [Answer(1)], [])
    assert not (place / answerlog.FILE).exists()
    with pytest.raises(ToolFailure, match="nothing is logged of endpoint:credit"):
        resolve(work, "endpoint:credit")


def test_only_the_newest_lines_stay(work: Work, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answerlog, "MAX_BYTES", 2000)
    for number in range(100):
        log(work).note([row(float(number))], [Answer(number)], [])
    ages = [line["row"]["age"] for line in lines_of(work, "endpoint:credit")]
    assert ages == [float(number) for number in range(100 - len(ages), 100)]
    assert 10 < len(ages) < 50
    assert all(file.stat().st_size <= 2000 for file in place.iterdir())
    log(work).note([row()] * 100, [Answer(1)] * 100, [])
    assert [line["row"]["age"] for line in lines_of(work, "endpoint:credit")] == ages


WRITER = """
import sys
from pathlib import Path
from collections import namedtuple
from mlops_mcp.tools.serving import answerlog, endpoints
answerlog.MAX_BYTES = 4000
Answer = namedtuple("Answer", "prediction probabilities")
log = answerlog.Log(Path(sys.argv[1]), 1.0, sys.argv[2], {})
for number in range(300):
    log.note([{"age": float(number)}], [Answer(1, None)], [])
"""


def test_two_services_at_once_write_whole_lines_into_the_same_files(work: Work, place: Path) -> None:
    started = [subprocess.Popen([sys.executable, "-c", WRITER, str(place), f"credit:{name}"]) for name in "ab"]
    assert [each.wait(600) for each in started] == [0, 0]
    found = [json.loads(line) for name in answers.FILES for line in (place / name).read_text().splitlines()]
    for bento in ("credit:a", "credit:b"):
        ages = [line["row"]["age"] for line in found if line["bento"] == bento]
        assert ages == sorted(ages)
    assert found[-1]["row"]["age"] == 299.0


def test_a_disk_that_takes_nothing_hinders_no_answer(work: Work, place: Path) -> None:
    (place / answerlog.FILE).mkdir()
    log(work).note([row()], [Answer(1)], [])


def test_half_a_line_of_one_that_was_killed_is_passed_over(work: Work, place: Path) -> None:
    log(work).note([row()], [Answer(1)], [])
    with (place / answerlog.FILE).open("a") as file:
        file.write('{"at": 1, "row"')
    assert len(lines_of(work, "endpoint:credit")) == 1


def test_columns_of_two_models_find_room_beside_each_other() -> None:
    lines: list[dict[str, Any]] = [
        {"at": 1.5, "bento": "a:1", "row": {"prediction": 1.0, "x": 1.0}, "prediction": "yes"},
        {"at": 2.0, "bento": "b:1", "row": {"x": "new"}, "prediction": 2.5},
    ]
    table = table_of(lines)
    assert {name: table.column(name).to_pylist() for name in table.column_names[1:]} == {
        "bento": ["a:1", "b:1"],
        "prediction_given": [1.0, None],
        "x": ["1.0", "new"],
        "prediction": ["yes", "2.5"],
    }


def test_served_rows_are_compared_with_those_of_training(work: Work, place: Path) -> None:
    """The bento that answered last of what is logged leads to its model, and that to the rows it learned from."""
    draw = random.Random(1)
    learned = pa.table({"age": [draw.gauss(40, 9) for _ in range(500)], "purpose": ["car", "house"] * 250})
    trained = save(work, learned, "loans", [], "test").handle
    lineage = Lineage(work.home)
    lineage.record("models:/m-1", [trained], "train_model")
    lineage.record("bento:credit:1", ["models:/m-1"], "package_model")
    rows = [row(draw.gauss(60, 9), draw.choice(["car", "house", "boat"])) for _ in range(500)]
    log(work).note(rows, [Answer(1)] * 500, [])
    found = compare_datasets(work, CompareRequest(reference="endpoint:credit", current="endpoint:credit"))
    assert found.reference == trained
    drift = {column.column: column for column in found.columns}
    assert {name: column.verdict for name, column in drift.items()} == {"age": "drifted", "purpose": "drifted"}
    assert list(drift["purpose"].gained or {}) == [UNSEEN]
    assert any("is the training data of bento:credit:1" in note for note in found.notes)


@pytest.mark.parametrize("name", ["endpoint:../credit", "endpoint:", "endpoint:Credit", "endpoint:none"])
def test_a_name_that_is_none_reads_nothing(work: Work, place: Path, name: str) -> None:
    with pytest.raises(ToolFailure):
        resolve(work, name)


ODD = ("line\u2028break", "next\x85line", "half a pair \ud800", "\x1f")


def test_texts_that_break_lines_or_have_no_bytes_cost_neither_the_answer_nor_a_row(work: Work, place: Path) -> None:
    kept = Log(place, 1.0, "credit:1", {"purpose": frozenset(ODD)})
    kept.note([row(purpose=text) for text in ODD], [Answer(1)] * len(ODD), [])
    assert [line["row"]["purpose"] for line in lines_of(work, "endpoint:credit")] == list(ODD)


def test_what_is_no_line_of_ours_is_passed_over_and_spoils_no_other(work: Work, place: Path) -> None:
    log(work).note([row(1.0)], [Answer(1)], [])
    with (place / answerlog.FILE).open("ab") as file:
        file.write(b'\xff\n{"at": 1}\n[]\n3\n' + b"[" * 100_000 + b'\n{"at": 1.0, "ben')
    log(work).note([row(2.0)], [Answer(1)], [])
    lines = lines_of(work, "endpoint:credit")
    assert [line["row"]["age"] for line in lines] == [1.0, 2.0]
    assert table_of(lines).num_rows == 2


def test_a_full_disk_leaves_no_piece_of_a_line(work: Work, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log(work).note([row(1.0)], [Answer(1)], [])
    before, write = (place / answerlog.FILE).read_bytes(), os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda opened, content: write(opened, content[:10]))
        log(work).note([row(2.0)], [Answer(1)], [])
    assert (place / answerlog.FILE).read_bytes() == before
    log(work).note([row(3.0)], [Answer(1)], [])
    assert [line["row"]["age"] for line in lines_of(work, "endpoint:credit")] == [1.0, 3.0]
