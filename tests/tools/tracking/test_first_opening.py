"""Several processes that meet on a database without tables."""

from __future__ import annotations

import multiprocessing
from importlib import import_module
from typing import Any

import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.tracking.backend import open_client

pytestmark = pytest.mark.slow

TOGETHER = 3


def _open(environ: dict[str, str], uri: str, start: Any, said: Any) -> None:
    settings = load(environ, {"mlflow.tracking_uri": uri}).settings
    start.wait()
    try:
        open_client(settings).search_experiments(max_results=1)
        said.put("")
    except Exception as error:
        said.put(repr(error))


def test_processes_that_open_an_empty_database_at_once_all_find_their_tables(
    environ: dict[str, str], postgres: str
) -> None:
    import psycopg

    import_module("mlflow")  # by the children, once

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("create database met")
    uri = postgres.replace("/postgres?", "/met?")
    context = multiprocessing.get_context("fork")
    start, said = context.Barrier(TOGETHER), context.Queue()
    children = [context.Process(target=_open, args=(environ, uri, start, said)) for _ in range(TOGETHER)]
    for child in children:
        child.start()
    assert [said.get() for _ in children] == [""] * TOGETHER
    for child in children:
        child.join()
