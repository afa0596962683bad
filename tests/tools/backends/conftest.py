"""What a team runs: databases of PostgreSQL, an MLflow server over one of them, an S3 store, Redis."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from .servers import OWN_HOST, Program, mlflow_server, redis_server, running, s3_store

BUCKET = "team"


@pytest.fixture(scope="session")
def databases(postgres: str) -> Callable[[str], str]:
    """The address of an empty database of that name."""
    import psycopg

    def make(name: str) -> str:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"drop database if exists {name} with (force)".encode())
            connection.execute(f"create database {name}".encode())
        return postgres.replace("/postgres?", f"/{name}?")

    return make


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    """A store with one bucket."""
    with running(s3_store(tmp_path_factory.mktemp("s3"))) as program:
        make_bucket(program)
        yield program


@pytest.fixture(scope="session")
def runs_database(databases: Callable[[str], str]) -> str:
    """The database under the MLflow server."""
    return databases("runs_of_team")


@pytest.fixture(scope="session")
def mlflow(runs_database: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    store = runs_database.replace("postgresql:", "postgresql+psycopg:")
    with running(mlflow_server(tmp_path_factory.mktemp("mlflow"), store, {})) as program:
        yield program


@pytest.fixture(scope="session")
def redis(needs: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    program = redis_server(tmp_path_factory.mktemp("redis"), needs("redis-server", "install redis-server"))
    with running(program):
        yield program


def address_of(program: Program) -> str:
    return f"http://{OWN_HOST}:{program.port}"


def make_bucket(store: Program) -> None:
    """By a plain request, which a store in memory takes from anyone."""
    request = urllib.request.Request(f"{address_of(store)}/{BUCKET}", method="PUT")
    urllib.request.urlopen(request, timeout=10).close()


def folder_of(address: str) -> Path:
    """Where the server of a database lies."""
    return Path(address.partition("host=")[2])
