"""Calls with an idempotency key on servers that share a database and no disk."""

from __future__ import annotations

import subprocess
import sys

import pytest
from mcp.types import CallToolResult, TextContent
from pydantic import SecretStr

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.answer_table import Call
from mlops_mcp.server.answers_shared import table_of
from mlops_mcp.server.idempotency import Answers
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.storage.errors import StorageError

from .conftest import Server

pytestmark = pytest.mark.slow
CALL = Call("me", "register_model", "k", "digest")
# Another server, which claims a key and says so; it lives until its input is closed.
OTHER_SERVER = """
import sys
from mlops_mcp.config.load import load
from mlops_mcp.server.answer_table import Call
from mlops_mcp.server.answers_shared import table_of
settings = load({"MLOPS_CONFIG": "/dev/null"}, dict(zip(("home", "storage.database", "storage.files"), sys.argv[1:])))
table = table_of(settings.settings)
print(table.claim(Call("me", "register_model", "k", "digest")), flush=True)
sys.stdin.read()
"""


async def run() -> CallToolResult:
    return CallToolResult(content=[TextContent(text="made")], structured_content={"half": "\ud800", "none": "\0"})


async def again() -> CallToolResult:
    raise AssertionError("it was made before")


async def test_a_call_that_one_server_has_answered_is_answered_by_another_one_in_the_same_words(server: Server) -> None:
    one, two = (Answers(table_of(server(name).settings)) for name in ("one", "two"))
    first = await one.once("me", "register_model", "k", "{}", run)
    assert await two.once("me", "register_model", "k", "{}", again) == await one.once(
        "me", "register_model", "k", "{}", again
    )
    assert first.structured_content
    with pytest.raises(ToolFailure, match="other arguments"):
        await two.once("me", "register_model", "k", '{"a": 1}', again)
    for each in (one, two):
        each.close()


def test_a_key_is_its_server_s_while_that_lives_and_free_once_it_was_killed(server: Server) -> None:
    settings = server("one").settings
    arguments = [str(server("two").home), settings.storage.database.get_secret_value(), settings.storage.files]
    table = table_of(settings)
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_SERVER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert table.claim(CALL) is False
        other.kill()
        other.wait()
        while table.claim(CALL) is False:  # the database notices
            pass
    table.close()


def test_a_server_whose_connection_was_cut_still_lives(server: Server) -> None:
    settings = server("one").settings
    table, other = table_of(settings), table_of(server("two").settings)
    assert table.claim(CALL) is True
    ended(settings)
    table.renew()
    assert other.claim(CALL) is False
    table.keep(CALL, "answered")
    assert other.claim(CALL) == "answered"
    for each in (table, other):
        each.close()


def ended(settings: Settings) -> None:
    """Cut every connection that holds a lock of a session, as a restart of the database does."""
    import psycopg

    with psycopg.connect(settings.storage.database.get_secret_value(), autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(pid) from pg_locks where locktype='advisory'")


def test_installations_on_one_database_do_not_see_each_other_s_keys(server: Server) -> None:
    one = server("one").settings
    storage = one.storage.model_copy(update={"files": f"{one.storage.files}-of-others"})
    tables = [table_of(one), table_of(one.model_copy(update={"storage": storage}))]
    tables[0].claim(CALL)
    tables[0].keep(CALL, "answered")
    assert [table.claim(CALL) for table in tables] == ["answered", True]
    for each in tables:
        each.close()


async def test_a_call_is_not_made_while_the_database_is_away(server: Server) -> None:
    settings = server("one").settings
    storage = settings.storage.model_copy(update={"database": SecretStr("postgresql://nobody@127.0.0.1:1/none")})
    answers = Answers(table_of(settings.model_copy(update={"storage": storage})), keep_s=0.1)
    with pytest.raises(StorageError, match=r"keyed calls at 127.0.0.1:1/none does not answer"):
        await answers.once("me", "register_model", "k", "{}", again)
