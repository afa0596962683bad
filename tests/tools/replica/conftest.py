"""Servers with a state folder each, which share a database and a file store and no disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

from ...conftest import ROOT

Server = Callable[[str], Work]


@pytest.fixture(scope="module")
def bucket() -> Generator[str]:
    """The address of an S3 store with a bucket `shared`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address, place = f"http://{host}:{port}", "us-east-1"
    client = boto3.client(
        "s3", region_name=place, endpoint_url=address, aws_access_key_id="k", aws_secret_access_key="s"
    )
    client.create_bucket(Bucket="shared")
    yield address
    server.stop()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.fixture
def server(tmp_path: Path, postgres: str) -> Server:
    """Makes what calls of a server are given, by its name."""

    def make(name: str) -> Work:
        flags = {
            "home": str(tmp_path / name),
            "storage.database": postgres,
            "storage.files": f"file://{tmp_path}/store",
            "data.roots": [str(ROOT / "examples"), str(tmp_path)],
        }
        return Work(load({"MLOPS_CONFIG": os.devnull}, flags).settings, Tracer(lambda _span: None))

    return make
