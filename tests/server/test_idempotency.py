"""A keyed call is done once; repeating it gives the first answer."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from mcp import Client
from mcp.types import CallToolResult, Implementation, TextContent

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.answer_table import AnswerTable, Call, ServerLock
from mlops_mcp.server.app import create_server
from mlops_mcp.server.idempotency import Answers
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.spec import Toolset, writes
from mlops_mcp.tools.storage.errors import StorageError

# Another server, which claims a key and says so; it lives until its input is closed.
OTHER_SERVER = """
import sys
from pathlib import Path
from mlops_mcp.server.answer_table import AnswerTable, Call
table = AnswerTable.of(Path(sys.argv[1]), 30)
print(table.claim(Call("me", "register_model", "k", sys.argv[2])), flush=True)
sys.stdin.read()
"""
DAY_S = 24 * 3600.0


class Counter:
    """Answers how often it was run."""

    def __init__(self) -> None:
        self.runs = 0

    async def __call__(self) -> CallToolResult:
        self.runs += 1
        return CallToolResult(content=[TextContent(text=str(self.runs))], structured_content={"runs": self.runs})


def failing(error: BaseException) -> Callable[[], Awaitable[CallToolResult]]:
    async def run() -> CallToolResult:
        raise error

    return run


def impatient(home: Path) -> Answers:
    """Waits for a locked file only briefly."""
    return Answers(AnswerTable.of(home, 30, 0.05), keep_s=0.05)


@contextmanager
def locked(file: Path) -> Generator[None]:
    """Somebody else writes to the file, and does not come to an end."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("begin immediate")
        yield
        db.execute("rollback")


def stored(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "answers.db")) as db:
        return [row[0] for row in db.execute("select answer from calls where answer is not null")]


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    return Answers(AnswerTable.of(tmp_path, 30))


async def test_the_same_key_and_arguments_give_the_first_answer_even_after_a_restart(
    answers: Answers, tmp_path: Path
) -> None:
    run = Counter()
    first = await answers.once("me", "register_model", "k", '{"a":1}', run)
    answers.close()
    again = await Answers(AnswerTable.of(tmp_path, 30)).once("me", "register_model", "k", '{"a":1}', run)
    assert again == first
    assert run.runs == 1


async def test_a_key_belongs_to_its_caller_to_its_tool_and_to_its_arguments(answers: Answers) -> None:
    run = Counter()
    await answers.once("me", "register_model", "k", '{"a":1}', run)
    await answers.once("me", "create_suite", "k", '{"a":1}', run)
    await answers.once("you", "register_model", "k", '{"a":2}', run)
    assert run.runs == 3
    with pytest.raises(ToolFailure, match="used before with other arguments"):
        await answers.once("me", "register_model", "k", '{"a":2}', run)


@pytest.mark.parametrize("error", [ToolFailure("no"), RuntimeError("boom"), asyncio.CancelledError()])
async def test_a_call_that_failed_or_was_cancelled_does_not_use_up_its_key(
    answers: Answers, error: BaseException, tmp_path: Path
) -> None:
    with pytest.raises(type(error)):
        await answers.once("me", "register_model", "k", "{}", failing(error))
    run = Counter()
    await Answers(AnswerTable.of(tmp_path, 30)).once("me", "register_model", "k", "{}", run)
    assert run.runs == 1


async def test_while_the_first_call_runs_its_repetitions_wait_for_its_answer(answers: Answers) -> None:
    started, release = asyncio.Event(), asyncio.Event()
    run = Counter()

    async def slow() -> CallToolResult:
        started.set()
        await release.wait()
        return await run()

    first = asyncio.create_task(answers.once("me", "register_model", "k", "{}", slow))
    await started.wait()
    others = [asyncio.create_task(answers.once("me", "register_model", "k", "{}", run)) for _ in range(8)]
    with pytest.raises(ToolFailure, match="used before with other arguments"):
        await answers.once("me", "register_model", "k", '{"a":2}', run)
    release.set()
    assert {(await task).content[0].model_dump_json() for task in (first, *others)} == {
        (await first).content[0].model_dump_json()
    }
    assert run.runs == 1


async def test_when_the_first_call_fails_one_of_its_repetitions_is_made(answers: Answers) -> None:
    started, release = asyncio.Event(), asyncio.Event()
    run = Counter()

    async def fails() -> CallToolResult:
        started.set()
        await release.wait()
        raise ToolFailure("no")

    first = asyncio.create_task(answers.once("me", "register_model", "k", "{}", fails))
    await started.wait()
    others = [asyncio.create_task(answers.once("me", "register_model", "k", "{}", run)) for _ in range(3)]
    release.set()
    with pytest.raises(ToolFailure, match="no"):
        await first
    assert len({(await task).content[0].model_dump_json() for task in others}) == run.runs == 1


async def test_a_key_is_its_server_s_while_that_lives_and_free_once_it_was_killed(tmp_path: Path) -> None:
    call = Call("me", "register_model", "k", "digest")
    table = AnswerTable.of(tmp_path, 30)
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_SERVER, str(tmp_path), call.arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        # Neither process ids nor clocks are asked, so it is the same from another container.
        assert table.claim(call) is False
        other.kill()
        other.wait()
        assert table.claim(call) is True


async def test_an_answer_that_cannot_be_kept_is_given_and_remembered_and_written_later(tmp_path: Path) -> None:
    answers = impatient(tmp_path)
    run = Counter()
    file = tmp_path / "answers.db"
    started, release = asyncio.Event(), asyncio.Event()

    async def slow() -> CallToolResult:
        started.set()
        await release.wait()
        return await run()

    first = asyncio.create_task(answers.once("me", "start_run", "k", "{}", slow))
    await started.wait()
    waiter = asyncio.create_task(answers.once("me", "start_run", "k", "{}", run))
    with locked(file):
        release.set()
        assert await first == await waiter == await answers.once("me", "start_run", "k", "{}", run)
        with pytest.raises(StorageError, match="database is locked"):
            await answers.write_waiting()
        assert stored(tmp_path) == []
    await answers.write_waiting()
    assert len(stored(tmp_path)) == 1
    answers.close()
    assert await Answers(AnswerTable.of(tmp_path, 30)).once("me", "start_run", "k", "{}", run) == await first
    assert run.runs == 1


async def test_half_a_character_in_an_answer_does_not_make_it_an_error(answers: Answers, tmp_path: Path) -> None:
    async def run() -> CallToolResult:
        return CallToolResult(content=[TextContent(text="a\ud83d")], structured_content={"name": "a\ud83d"})

    first = await answers.once("me", "register_model", "k", "{}", run)
    assert first.structured_content == {"name": "a\ud83d"}
    again = await Answers(AnswerTable.of(tmp_path, 30)).once("me", "register_model", "k", "{}", run)
    assert again == CallToolResult(content=[TextContent(text="a?")], structured_content={"name": "a?"})


async def test_a_server_that_ends_writes_the_answers_it_could_not_write_before(tmp_path: Path) -> None:
    answers = impatient(tmp_path)
    run = Counter()

    async def meanwhile() -> CallToolResult:
        lock.__enter__()
        return await run()

    lock = locked(tmp_path / "answers.db")
    await answers.once("me", "start_run", "k", "{}", meanwhile)
    lock.__exit__(None, None, None)
    answers.close()
    assert len(stored(tmp_path)) == 1


async def test_a_server_that_ends_says_how_many_answers_are_lost_and_counts_no_failures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers = impatient(tmp_path)
    run, lock = Counter(), locked(tmp_path / "answers.db")

    async def locking() -> CallToolResult:
        lock.__enter__()
        return await run()

    async def fails() -> CallToolResult:
        started.set()
        await answered.wait()
        raise ToolFailure("no")

    started, answered = asyncio.Event(), asyncio.Event()
    failing_call = asyncio.create_task(answers.once("me", "start_run", "failed", "{}", fails))
    await started.wait()
    await answers.once("me", "start_run", "k", "{}", locking)
    answered.set()
    with pytest.raises(ToolFailure, match="no"):
        await failing_call
    answers.close()
    lock.__exit__(None, None, None)
    assert "1 answers of keyed calls are lost" in caplog.text


async def test_a_key_whose_failed_call_could_not_be_noted_is_free_in_its_server(tmp_path: Path) -> None:
    answers = impatient(tmp_path)
    run = Counter()
    lock = locked(tmp_path / "answers.db")

    async def fails() -> CallToolResult:
        lock.__enter__()
        raise ToolFailure("no")

    with pytest.raises(ToolFailure, match="no"):
        await answers.once("me", "start_run", "k", "{}", fails)
    lock.__exit__(None, None, None)
    await answers.once("me", "start_run", "k", "{}", run)
    assert run.runs == 1
    assert len(stored(tmp_path)) == 1


async def test_a_call_is_not_made_when_nobody_can_know_whether_it_was_made_before(tmp_path: Path) -> None:
    answers = impatient(tmp_path)
    run = Counter()
    await answers.once("me", "start_run", "a", "{}", run)
    with locked(tmp_path / "answers.db"), pytest.raises(StorageError) as caught:
        await answers.once("me", "start_run", "b", "{}", run)
    assert run.runs == 1
    assert str(tmp_path / "answers.db") in str(caught.value)
    assert "Repeat it in a minute" in str(caught.value)
    await answers.once("me", "start_run", "b", "{}", run)
    assert run.runs == 2


async def test_an_answer_whose_file_was_moved_away_meanwhile_is_kept_in_the_new_one(
    answers: Answers, tmp_path: Path
) -> None:
    run = Counter()

    async def meanwhile() -> CallToolResult:
        (tmp_path / "answers.db").rename(tmp_path / "away")
        return await run()

    await answers.once("me", "start_run", "k", "{}", meanwhile)
    await answers.once("me", "start_run", "k", "{}", run)
    assert run.runs == 1


async def test_answers_expire_after_the_days_that_are_kept(tmp_path: Path) -> None:
    answers, run = Answers(AnswerTable.of(tmp_path, 30)), Counter()
    for key in ("old", "young"):
        await answers.once("me", "start_run", key, "{}", run)
    answers.close()
    with closing(sqlite3.connect(tmp_path / "answers.db")) as db, db:
        db.execute("update calls set at=at-? where key='old'", (31 * DAY_S,))
    later = Answers(AnswerTable.of(tmp_path, 30))
    for key in ("young", "old"):
        await later.once("me", "start_run", key, "{}", run)
    assert run.runs == 3


async def test_a_clock_that_is_set_ahead_makes_no_answer_expire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Counter()
    await Answers(AnswerTable.of(tmp_path, 30)).once("me", "start_run", "k", "{}", run)
    monkeypatch.setattr("mlops_mcp.tools.storage.expiry.time.time", lambda: 4e9)
    await Answers(AnswerTable.of(tmp_path, 30)).once("me", "start_run", "k", "{}", run)
    assert run.runs == 1


async def test_answers_of_an_older_version_whose_caller_nobody_knows_are_given_to_nobody(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "answers.db")) as db:
        db.executescript("create table answers(tool text, key text, arguments text, answer text, owner text, at real)")
    run = Counter()
    await Answers(AnswerTable.of(tmp_path, 30)).once("me", "start_run", "k", "{}", run)
    assert (run.runs, len(stored(tmp_path))) == (1, 1)


def test_the_lock_file_of_a_server_goes_with_it_and_that_of_a_killed_one_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "left.lock"
    left.touch()
    server = ServerLock(tmp_path)
    names = {"left", server.name}
    assert {path.stem for path in tmp_path.iterdir()} == names
    server.remove_dead()
    assert left.exists()  # it may just have been made
    monkeypatch.setattr("mlops_mcp.server.answer_table.YOUNG_S", -1.0)
    server.remove_dead()
    assert {path.stem for path in tmp_path.iterdir()} == {server.name}
    server.close()
    assert list(tmp_path.iterdir()) == []


async def test_two_clients_of_a_server_may_use_the_same_key_and_one_that_comes_back_finds_its_answer(
    settings: Settings,
) -> None:
    made: list[str] = []

    async def make_note(text: str) -> list[str]:
        """Make a note."""
        made.append(text)
        return made

    server = create_server(settings, Toolset("notes", "", (writes(make_note, "Make note"),)))

    async def note(client: str, text: str) -> None:
        async with Client(server, client_info=Implementation(name=client, version="1")) as session:
            result = await session.call_tool("make_note", {"text": text, "idempotency_key": "k"})
            assert not result.is_error, result

    async with server.services.running():
        await note("a", "first")
        await note("b", "second")
        await note("a", "first")
    assert made == ["first", "second"]
