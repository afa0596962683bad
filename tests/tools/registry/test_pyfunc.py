"""Models of MLflow's python_function: code of others, which answers out of a process of its own."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from mlops_mcp.tools.errors import MissingArgument, ToolFailure
from mlops_mcp.tools.landlock import confines_tcp
from mlops_mcp.tools.modeling import box, boxed
from mlops_mcp.tools.modeling.boxed import Boxed, Child, packed
from mlops_mcp.tools.modeling.store import find_model, load_pipeline
from mlops_mcp.tools.registry import client
from mlops_mcp.tools.registry.foreign.pyfuncs import settled
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.seccomp import isolates
from mlops_mcp.tools.serving.batch import predict_dataset
from mlops_mcp.tools.serving.models import BatchRequest
from mlops_mcp.tools.tracking.backend import mlflow_client

from ...processes import words_of
from .imported import allowing, answers, everything_in, laid_rows, logged_by_mlflow, of_code, taken

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (confines_tcp() and isolates()), reason="the kernel cannot hold a process"),
]

SHARES = """
import numpy as np, pandas as pd
from mlflow.pyfunc import PythonModel

class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        second = 1 / (1 + np.exp(-(2 * model_input["x"] + model_input["z"])))
        return pd.DataFrame({"1": second, "0": 1 - second})
"""
# Does what is written in its rows, and answers with what came of it.
HOSTILE = """
import ctypes, json, os, signal, socket, subprocess, sys, threading, time
import numpy as np, pandas as pd
from pathlib import Path
from mlflow.pyfunc import PythonModel

def tried(action):
    try:
        action()
        return "done"
    except OSError as error:
        return type(error).__name__

class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        print("x" * 100000)
        sys.stderr.write("y" * 100000)
        found = eval(model_input["do"].iloc[0])
        return found() if callable(found) else found
"""


def test_a_model_of_code_is_taken_in_where_it_is_allowed_and_answers_as_before(work: Work, tmp_path: Path) -> None:
    import mlflow

    frame = laid_rows(tmp_path)
    uri = logged_by_mlflow(work, lambda: of_code(tmp_path, SHARES, frame[["x", "z"]].head(3)))
    mlflow.register_model(uri, "theirs")
    folder = Path(mlflow_client(work).get_logged_model(uri.removeprefix("models:/")).artifact_location)
    before = everything_in(folder)
    assert "allow_pickle" in str(client.get_model(work, "model:theirs/1", 5, False).foreign)
    with pytest.raises(ToolFailure, match=r"code of its maker.*allow_pickle \(MLOPS_MLFLOW__ALLOW_PICKLE\)"):
        taken(work, tmp_path, model="model:theirs/1")
    found = taken(allowing(work), tmp_path, model="model:theirs/1", name="ours")
    assert (found.algorithm, found.classes, found.features) == ("python_function", [0, 1], ["x", "z"])
    assert found.checked == "3 rows of its input example: the same answers as before"
    assert found.notes == ["it gives a share for each class"]
    second = 1 / (1 + np.exp(-(2 * frame["x"] + frame["z"])))
    assert np.allclose(answers(work, found.model, frame), np.column_stack([1 - second, second]))
    assert client.get_model(work, "model:ours/1", 5, True).check is not None
    request = BatchRequest(model=found.model, dataset=str(tmp_path / "rows.parquet"), name="", columns=[])
    assert sum(predict_dataset(work, request).counts.values()) == len(frame)
    assert everything_in(folder) == before
    stored = find_model(work, "model:ours/1")
    card = stored.folder / "card.json"
    card.write_text(card.read_text().replace(stored.card.seal, "0" * 64))
    with pytest.raises(ToolFailure, match="did not seal"):
        load_pipeline(find_model(work, "model:ours/1"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Generator[Boxed]:
    """One process for all that leaves it alive."""
    from mlflow import pyfunc

    folder = tmp_path_factory.mktemp("hostile")
    code = f"{HOSTILE}\nfrom mlflow.models import set_model\nset_model(Model())\n"
    (folder / "code.py").write_text(code, encoding="utf-8")
    pyfunc.save_model(str(folder / "model"), python_model=str(folder / "code.py"), pip_requirements=[])
    yield Boxed(packed(folder / "model"), ["do"])
    boxed._child_of.cache_clear()  # pyright: ignore[reportPrivateUsage]


def told(model: Boxed, expression: str) -> str:
    """What came of it, in words: the one label that the model gives."""
    (found,) = model.said(pd.DataFrame({"do": [f"[{expression}]"]}))["labels"]
    return str(found)


def test_what_is_not_its_own_is_out_of_reach(hostile: Boxed, tmp_path: Path) -> None:
    secret = tmp_path / "secret.key"
    secret.write_text("key")
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listening, socket.create_server(("127.0.0.1", 0)) as server:
        listening.bind(str(path))
        listening.listen()
        port, us = server.getsockname()[1], os.getpid()
        for action in (
            f"open({str(secret)!r})", "open('/etc/passwd')", f"open('/proc/{us}/environ')",
            f"os.listdir({str(tmp_path)!r})",
            f"open({str(tmp_path / 'new')!r}, 'w')", f"os.chmod({str(secret)!r}, 0o777)", f"os.unlink({str(secret)!r})",
            f"os.utime({str(secret)!r})", "open(os.path.join(sys.prefix, 'new'), 'w')", "open('../model/MLmodel', 'a')",
            f"socket.create_connection(('127.0.0.1', {port}))", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
            f"socket.socket(socket.AF_UNIX).connect({str(path)!r})", "os.fork()", "subprocess.run(['true'])",
            "os.posix_spawn('/bin/true', ['true'], {})", f"os.kill({us}, 9)", "os.kill(-1, 9)", "os.kill(0, 9)",
            f"__import__('resource').prlimit({us}, 7, (0, 0))", "os.mknod('device', 0o60600, 0)",
            "os.setpriority(os.PRIO_USER, 0, 19)", "os.fchmod(os.open('../model/MLmodel', os.O_RDONLY), 0o777)",
            "os.fchown(os.open('../model/MLmodel', os.O_RDONLY), -1, -1)", "os.memfd_create('memory')",
            "os.setxattr(os.open('../model/MLmodel', os.O_RDONLY), 'user.x', b'')",
        ):  # fmt: skip
            assert told(hostile, f"tried(lambda: {action})") == "PermissionError", action
    assert told(hostile, "tried(lambda: open('scratch', 'w').write('x'))") == "done"
    assert told(hostile, "'MLOPS_HOME' in os.environ") == "false"
    assert told(hostile, "ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)") == "-1"
    assert secret.read_text() == "key"


def test_what_code_says_of_itself_on_the_pipe_is_looked_at_before_it_is_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = pd.DataFrame({"x": [1.0]})
    for said in (
        b"[]",
        b"{}",
        b"[" * 200_000,
        b'{"texts": true, "whole": false, "width": 1, "names": [], "labels": null}',
    ):
        monkeypatch.setattr(boxed.Boxed, "_told", lambda *_, said=said: box.SAID + said)
        with pytest.raises(ToolFailure, match="something else than it was asked for"):
            Boxed(b"", ["x"]).said(rows)


def test_answers_that_are_none_are_errors_that_say_what_came_instead(hostile: Boxed) -> None:
    for expression, says in (
        ("[1.0, 2.0]", r"shape \(2,\) for 1 rows"),
        ("[]", "for 1 rows"),
        ("np.zeros((1, 2, 2))", "shape"),
        ("[[1.0, 2.0]]", "gives 2 numbers a row"),
        ("pd.DataFrame({'a': [1.0], 'b': [2.0]})", "gives 2 numbers a row"),
        ("[float('nan')]", "no finite number for 1 of 1"),
        ("[float('inf')]", "no finite number for 1 of 1"),
        ("['yes']", "yes, which are no numbers"),
        ("[None]", "no numbers|no finite"),
        ("None", "for 1 rows"),
        ("[[1], [2, 3]]", "no table"),
        ("1 / 0", "ZeroDivisionError"),
        ("sys.exit(3)", "SystemExit"),
        ("np.ones((1 << 20, 1 << 20))", "memory"),
        ("bytearray(6 << 30)", "memory"),
        ("(_ for _ in ()).throw(ValueError('\\x1b[31mred' + 'z' * 10000))", "red"),
    ):
        with pytest.raises(ToolFailure) as raised:
            hostile.predict(pd.DataFrame({"do": [expression]}))
        assert re.search(says, str(raised.value)), (expression, str(raised.value))
        assert "\x1b" not in str(raised.value)
        assert len(str(raised.value)) < 800
    assert hostile.predict(pd.DataFrame({"do": ["[2.5]"]})).tolist() == [2.5]
    classes = Boxed(hostile.content, ["do"], [0, 1], "shares")
    for expression in ("[1.5]", "[-0.1]", "[[0.5, 0.6]]", "[[1.0, 0.0, 0.0]]"):
        with pytest.raises(ToolFailure, match=r"no shares|3 scores"):
            classes.predict_proba(pd.DataFrame({"do": [expression]}))
    named = pd.DataFrame({"do": ["pd.DataFrame({'1': [0.9], '0': [0.1]})"]})
    assert classes.predict_proba(named).tolist() == [[0.1, 0.9]]
    labels = Boxed(hostile.content, ["do"], ["no", "yes"], "labels")
    assert labels.predict_proba(pd.DataFrame({"do": ["['yes']"]})).tolist() == [[0.0, 1.0]]
    with pytest.raises(ToolFailure, match="maybe, which is no class of no, yes"):
        labels.predict_proba(pd.DataFrame({"do": ["['maybe']"]}))


def test_what_it_gives_is_settled_by_asking_it_and_what_nobody_can_tell_is_asked_for(hostile: Boxed) -> None:
    def settle(expression: str, target: list[Any], asked: list[str]) -> tuple[str, list[Any]]:
        rows = pd.DataFrame({"do": [expression] * len(target), "y": target})
        model, classes, _ = settled(hostile, ["do"], rows, "y", asked)
        return model.answers, classes

    two = [0, 1, 1]
    assert settle("[0.5, 0.1, 0.2]", two, []) == ("numbers", [])
    assert settle("[0.5, 0.1, 0.2]", two, ["1", "0"]) == ("shares", [1, 0])
    assert settle("np.array([0, 1, 1])", two, []) == ("labels", [0, 1])
    assert settle("np.array([7, 8, 9])", two, []) == ("numbers", [])
    assert settle("['b', 'a', 'a']", ["a", "b", "b"], []) == ("labels", ["a", "b"])
    assert settle("np.full((3, 3), 1 / 3)", [0, 1, 2], ["2", "0", "1"]) == ("shares", [2, 0, 1])
    with pytest.raises(MissingArgument, match="of which class each is"):
        settle("np.full((3, 2), 0.5)", two, [])
    with pytest.raises(ToolFailure, match=r"gives \['c'\]"):
        settle("['c', 'c', 'c']", ["a", "b", "b"], [])
    with pytest.raises(ToolFailure, match="has 3 classes"):
        settle("np.full((3, 3), 1 / 3)", [0, 1, 2], ["0", "1"])


def test_one_that_hangs_or_dies_is_an_error_and_the_next_question_is_answered(
    hostile: Boxed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ToolFailure, match="ended or said too much"):
        hostile.predict(pd.DataFrame({"do": ["os._exit(0)"]}))
    assert hostile.predict(pd.DataFrame({"do": ["[1.0]"]})).tolist() == [1.0]
    monkeypatch.setattr(boxed, "ANSWER_S", 1.0)
    with pytest.raises(ToolFailure, match="did not answer within 1 s"):
        hostile.predict(pd.DataFrame({"do": ["time.sleep(1000)"]}))
    assert not [each for each in psutil.Process().children() if box.__name__ in words_of(each)]


def test_where_the_kernel_cannot_hold_it_no_code_is_run(hostile: Boxed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxed, "confines_tcp", lambda: False)
    boxed._child_of.cache_clear()  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(ToolFailure, match="has no Landlock"):
        hostile.predict(pd.DataFrame({"do": ["[1.0]"]}))


def test_the_same_folder_is_the_same_file_and_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/MLmodel").write_text("a: b")
    first = packed(tmp_path / "model")
    os.utime(tmp_path / "model/MLmodel", (0, 0))
    assert packed(tmp_path / "model") == first
    (tmp_path / "model/link").symlink_to("/etc/passwd")
    with pytest.raises(ToolFailure, match="holds a link, 'link'"):
        packed(tmp_path / "model")


def test_what_a_killed_process_has_left_unpacked_is_taken_away_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "model").mkdir()
    (tmp_path / "model/MLmodel").write_text("a: b")
    content, places = (
        packed(tmp_path / "model"),
        [tmp_path / f"{boxed.PREFIX}{name}" for name in ("left", "fresh", "away")],
    )
    for each in places[:2]:
        each.mkdir()
        (each / boxed.LOCK).touch()
    places[2].symlink_to(tmp_path / "model")
    (tmp_path / "model" / boxed.LOCK).touch()
    used = Child(content)
    for each in tmp_path.glob(f"{boxed.PREFIX}*"):
        if each != places[1]:
            os.utime(each, (0, 0))
    other = Child(content)
    assert [each.exists() for each in places] == [False, True, True]
    assert len({*tmp_path.glob(f"{boxed.PREFIX}*/model/MLmodel")}) == 2, "those that are in use stay"
    del used, other
    assert not {*tmp_path.glob(f"{boxed.PREFIX}*/model/MLmodel")}
