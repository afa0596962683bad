"""What BentoCloud is asked, over a recording stand-in of its HTTP API, after the schemas of BentoML's own client.

BentoCloud itself was not asked: what it does with these requests is not shown here.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import ToolFailure, Unavailable
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving.targets import bentocloud
from mlops_mcp.tools.serving.targets.cloud import configuration
from mlops_mcp.tools.tracing.span import Tracer

from .cloud_standin import AT, KEY, Cloud, standing_cloud
from .test_manifests import version

pytestmark = pytest.mark.slow

DEPLOYS = ("POST", "/api/v2/deployments")


@pytest.fixture
def there() -> Generator[Cloud]:
    with standing_cloud() as found:
        yield found


def with_account(folder: Path, endpoint: str, key: str = KEY) -> Work:
    given = {"bentocloud.endpoint": endpoint, "bentocloud.api_key": key}
    environ = {"MLOPS_HOME": str(folder / "home"), "MLOPS_CONFIG": os.devnull}
    work = Work(load(environ, given).settings, Tracer(lambda _span: None))
    for name in ("v1", "v2"):
        place = work.settings.bentoml_home / "bentos/loans" / name
        if not place.exists():
            place.mkdir(parents=True)
            content: dict[str, Any] = {
                "service": "service:Predictor", "name": "loans", "version": name, "bentoml_version": "1.4.0",
                "creation_time": AT, "labels": {}, "models": [], "entry_service": "loans",
            }  # fmt: skip
            (place / "bento.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
            (place / "README.md").write_text("", encoding="utf-8")
    return work


@pytest.fixture
def work(there: Cloud, tmp_path: Path) -> Work:
    return with_account(tmp_path, f"http://127.0.0.1:{there.port}")


def exported(folder: Path, called: str, **percents: int) -> Path:
    place = folder / called
    place.mkdir()
    versions = [version(number=number, percent=percent) for number, percent in percents.items()]
    content = yaml.safe_dump(configuration(versions))
    (place / bentocloud.CONFIGURATION).write_text(content, encoding="utf-8")
    return place


def test_an_export_is_deployed_as_it_was_written_after_the_bentos_of_all_its_versions(
    there: Cloud, work: Work, tmp_path: Path
) -> None:
    folder = exported(tmp_path, "first", v1=90, v2=10)
    done = bentocloud.apply(work, folder, "first")
    assert (done.done, done.new, done.before) == (["deployment/loans"], True, [])
    assert (done.seen.state, done.seen.namespace, done.seen.urls) == ("deploying", "eu", ["https://loans.example.org"])
    assert there.uploaded == {"bento/loans:v1", "bento/loans:v2"}
    written = yaml.safe_load((folder / bentocloud.CONFIGURATION).read_bytes())
    labels = [{"key": "mlops-mcp-export", "value": "first"}]
    assert given(there.deployments["loans"]) == {**written, "labels": labels, "dev": False, "state": "deploying"}
    uploads = [number for number, each in enumerate(there.asked) if each[1].endswith("/upload")]
    made = next(number for number, each in enumerate(there.asked) if each[:2] == DEPLOYS)
    assert max(uploads) < made


def given(node: Any) -> Any:
    """Without the fields that are left open."""
    if isinstance(node, dict):
        return {name: given(item) for name, item in node.items() if item is not None}
    return [given(item) for item in node] if isinstance(node, list) else node


def test_the_key_goes_into_a_header_and_nowhere_else(there: Cloud, work: Work, tmp_path: Path) -> None:
    bentocloud.apply(work, exported(tmp_path, "first", v1=100), "first")
    assert {key for *_, key in there.asked} == {KEY}
    assert not [path for _, path, body, _ in there.asked if KEY in path or KEY.encode() in body]
    kept = (each for each in tmp_path.rglob("*") if each.is_file())
    assert not [each for each in kept if KEY.encode() in each.read_bytes()]


def test_a_later_export_takes_over_and_is_looked_at_and_ended_while_the_first_ends_nothing(
    there: Cloud, work: Work, tmp_path: Path
) -> None:
    first, second = exported(tmp_path, "first", v1=100), exported(tmp_path, "second", v2=100)
    assert bentocloud.look(work, first, "first").seen.state == "absent"
    bentocloud.apply(work, first, "first")
    taken = bentocloud.apply(work, second, "second")
    assert (taken.before, taken.new, there.deployments["loans"]["bento"]) == (["first"], False, "loans:v2")
    seen = bentocloud.look(work, second, "second")
    assert (seen.done, seen.left, seen.seen.state) == (["deployment/loans"], [], "deploying")
    assert bentocloud.withdraw(work, first, "first").left == ["deployment/loans"]
    assert there.deployments["loans"]["state"] == "deploying"
    gone = bentocloud.withdraw(work, second, "second")
    assert (gone.done, gone.seen.state) == (["deployment/loans"], "terminated")


def test_a_deployment_of_somebody_else_is_neither_changed_nor_ended(there: Cloud, work: Work, tmp_path: Path) -> None:
    folder = exported(tmp_path, "first", v1=100)
    there.deployments["loans"] = before = {"bento": "loans:theirs", "labels": [], "state": "running"}
    with pytest.raises(ToolFailure, match="deployment loans of BentoCloud was not made by this server"):
        bentocloud.apply(work, folder, "first")
    assert bentocloud.withdraw(work, folder, "first").left == ["deployment/loans"]
    assert there.deployments == {"loans": before}
    assert there.uploaded == set()


def test_a_folder_that_is_called_as_a_bento_is_not_built_in_its_place(
    there: Cloud, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loans:v1").mkdir()
    (tmp_path / "loans:v1/service.py").write_text("open('sprung', 'w').close()")
    monkeypatch.chdir(tmp_path)
    bentocloud.apply(work, exported(tmp_path, "first", v1=100), "first")
    assert there.deployments["loans"]["bento"] == "loans:v1"
    assert not list(tmp_path.rglob("sprung"))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not accept the key.*bentocloud.api_key"),
        (403, "does not accept"),
        (500, "refuses"),
        (418, "refuses"),
    ],
)
def test_a_refusal_is_told_without_the_key(there: Cloud, work: Work, tmp_path: Path, status: int, words: str) -> None:
    there.refuses = status
    with pytest.raises(ToolFailure, match=words) as refused:
        bentocloud.apply(work, exported(tmp_path, "first", v1=100), "first")
    assert KEY not in str(refused.value)


def test_without_a_key_over_an_open_connection_or_where_nobody_answers_the_way_out_is_told(tmp_path: Path) -> None:
    folder = exported(tmp_path, "first", v1=100)
    with pytest.raises(ToolFailure, match=r"no account of BentoCloud is configured.*BENTO_CLOUD_API_KEY"):
        bentocloud.apply(with_account(tmp_path, "", ""), folder, "first")
    with pytest.raises(ToolFailure, match="sent the key in the open"):
        bentocloud.look(with_account(tmp_path, "http://cloud.example.org"), folder, "first")
    with pytest.raises(Unavailable, match=r"does not answer.*bentocloud\.endpoint"):
        bentocloud.look(with_account(tmp_path, "http://127.0.0.1:9"), folder, "first")
