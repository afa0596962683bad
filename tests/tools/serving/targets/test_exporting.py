"""What is exported, served by the very command that its image runs: no engine for images is needed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from mlops_mcp.config.backends import CloudSettings
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.serving import client, removal
from mlops_mcp.tools.serving.bentos import find_bento
from mlops_mcp.tools.serving.models import Resources
from mlops_mcp.tools.serving.processes import free_ports
from mlops_mcp.tools.serving.targets.answers import ApplyRequest, Exported, ExportRequest, Platform
from mlops_mcp.tools.serving.targets.applying import apply_deployment, get_deployment
from mlops_mcp.tools.serving.targets.exporting import export_deployment, exports
from mlops_mcp.tools.serving.targets.image import dockerfile

from ....waiting import until
from ..conftest import Served, ask, post
from .cloud_standin import Cloud, standing_cloud

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore", "error::ResourceWarning")]
LINTER = Path(sys.executable).with_name("hadolint")
TOKEN = "a-token-of-this-test"


def exported(served: Served, platform: Platform = "kubernetes", **traffic: int) -> Exported:
    bentos = {"old": served.old.bento, "new": served.new.bento}
    shares = {bentos.get(name, name): percent for name, percent in (traffic or {"old": 100}).items()}
    request = ExportRequest(platform=platform, name="loans", traffic=shares, resources=Resources(memory="1Gi"))
    return export_deployment(served.work, request)


@pytest.fixture
def there() -> Generator[Cloud]:
    with standing_cloud() as found:
        yield found


@dataclass(frozen=True)
class Running:
    url: str
    folder: Path


@pytest.fixture(scope="module")
def running(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    """The context of the old model, as its image would run it: without our home, with an empty one of its own."""
    folder = Path(exported(served, "docker").folder)
    (context,) = (folder / "images").iterdir()
    text = (context / "Dockerfile").read_text(encoding="utf-8")
    entry: list[str] = json.loads(re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[0])
    place = tmp_path_factory.mktemp("image")
    assert "COPY --chown=1034:1034 bento ./" in text
    shutil.copytree(context / "bento", place / "bento")
    port = next(free_ports())
    swapped = {"python": sys.executable, "/home/bentoml/bento": str(place / "bento"), "0.0.0.0": "127.0.0.1"}
    command = [swapped.get(each, each) for each in entry[:-1]] + [str(port)]
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(place),
        "BENTOML_HOME": str(place / "home"), "BENTOML_DO_NOT_TRACK": "True", "PYTHONDONTWRITEBYTECODE": "1",
        "MLOPS_ENDPOINT_TOKEN_SHA256": hashlib.sha256(TOKEN.encode()).hexdigest(),
        "MLOPS_ENDPOINT_HOSTS": "127.0.0.1,loans.example.org",
    }  # fmt: skip
    with (place / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            found = Running(f"http://127.0.0.1:{port}", place / "bento")
            until(lambda: process.poll() is None and _ready(found))
            yield found
        finally:
            process.terminate()
            process.wait()


def _ready(running: Running) -> bool:
    try:
        return ask(f"{running.url}/readyz")[0] == 200
    except OSError:
        return False


def test_an_image_answers_as_the_endpoint_does_and_asks_for_its_token(served: Served, running: Running) -> None:
    status, answer = post(f"{running.url}/predict", {"rows": served.rows[:20]}, TOKEN)
    here = client.predict(served.work, "credit", served.rows[:20])
    assert (status, answer["predictions"], answer["probabilities"]) == (200, here.predictions, here.probabilities)
    assert post(f"{running.url}/predict", {"rows": served.rows[:1]})[0] == 401
    assert ask(f"{running.url}/metrics")[0] == 401


def test_an_image_writes_nothing_where_its_files_are(served: Served, running: Running) -> None:
    (context,) = (Path(exported(served, "docker").folder) / "images").iterdir()
    kept = {path.relative_to(context / "bento") for path in (context / "bento").rglob("*")}
    assert {path.relative_to(running.folder) for path in running.folder.rglob("*")} == kept


def test_every_file_is_listed_with_its_digest_and_what_was_written_before_is_not_written_again(served: Served) -> None:
    made = exported(served, old=90, new=10)
    again = exported(served, old=90, new=10)
    other = exported(served, old=80, new=20)
    assert (again.export, again.made) == (made.export, False)
    assert other.export != made.export
    folder = Path(made.folder)
    listed = json.loads((folder / "export.json").read_bytes())["files"]
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert {each["path"] for each in listed} == there.keys() - {"export.json"}
    for each in listed:
        content = there[each["path"]].read_bytes()
        assert (each["sha256"], each["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    shown = [each.path for each in made.files]
    assert len([path for path in shown if path.endswith(".yaml")]) == 8
    assert len([path for path in shown if path.endswith("Dockerfile")]) == 2
    assert [path.name for path in exports(served.work).iterdir() if path.name.startswith(".")] == []


def test_the_manifests_run_the_images_that_the_commands_build(served: Served) -> None:
    made = exported(served, old=90, new=10)
    manifests = [yaml.safe_load(path.read_bytes()) for path in Path(made.folder, "manifests").iterdir()]
    run = {
        each["spec"]["template"]["spec"]["containers"][0]["image"] for each in manifests if each["kind"] == "Deployment"
    }
    built = {re.findall(r"--tag (\S+) (\S+)", command)[0] for command in made.commands if "docker build" in command}
    assert {image for image, _ in built} == run == set(made.images.values())
    assert all((Path(context) / "Dockerfile").is_file() for _, context in built)
    assert any("kubernetes.gateway is not set" in note for note in made.notes)


def test_the_dockerfile_passes_a_linter_and_ends_as_nobody_in_particular(served: Served) -> None:
    made = exported(served, "docker", old=50, new=50)
    files = [str(path) for path in Path(made.folder).rglob("Dockerfile") if "env/docker" not in path.as_posix()]
    assert len(files) == 2
    linted = subprocess.run([LINTER, *files], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")
    lines = Path(files[0]).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER 1034:1034"]


def test_bentocloud_is_told_in_one_file_and_gets_the_bento_of_each_version_first(served: Served) -> None:
    made = exported(served, "bentocloud", old=90, new=10)
    assert [each.path for each in made.files] == ["bentocloud.yaml"]
    told = yaml.safe_load(Path(made.folder, "bentocloud.yaml").read_bytes())
    assert f"bento:{told['bento']}" == served.old.bento
    assert [command.split()[-1] for command in made.commands[:2]] == [
        each.bento.removeprefix("bento:") for each in (served.old, served.new)
    ]
    assert made.commands[2].endswith(f"deployment apply --config-file {made.folder}/bentocloud.yaml")
    with pytest.raises(ToolFailure, match="no account of BentoCloud is configured"):
        apply_deployment(served.work, ApplyRequest(export=made.export))


def test_a_real_bento_goes_to_bentocloud_with_its_model_and_what_serves_there_is_looked_at_and_ended(
    served: Served, there: Cloud
) -> None:
    account = CloudSettings(endpoint=f"http://127.0.0.1:{there.port}", api_key=SecretStr("a-key"))
    work = replace(served.work, settings=served.work.settings.model_copy(update={"bentocloud": account}))
    made = exported(served, "bentocloud", old=100)
    assert get_deployment(work, made.export).state == "absent"
    applied = apply_deployment(work, ApplyRequest(export=made.export))
    spec = find_bento(work, served.old.bento).spec
    assert there.uploaded == {served.old.bento.replace(":", "/", 1), f"model/{spec.model_tag}"}
    assert (applied.objects, applied.state, applied.namespace) == (["deployment/loans"], "deploying", "eu")
    assert applied.undo == f"apply_deployment(export={made.export!r}, withdraw=true)"
    seen = get_deployment(work, made.export)
    assert (seen.state, seen.urls, seen.objects) == ("deploying", ["https://loans.example.org"], applied.objects)
    gone = apply_deployment(work, ApplyRequest(export=made.export, withdraw=True))
    assert (gone.withdrawn, gone.state, gone.objects) == (True, "terminated", applied.objects)
    assert gone.undo == f"apply_deployment(export={made.export!r})"


def test_an_image_holds_what_is_installed_here_down_to_the_last_library(served: Served) -> None:
    (context,) = (Path(exported(served, "docker").folder) / "images").iterdir()
    pins = dict(line.split("==") for line in (context / "constraints.txt").read_text("utf-8").splitlines())
    wanted = dict(line.split("==") for line in (context / "requirements.txt").read_text("utf-8").splitlines())
    assert wanted.items() <= pins.items()
    assert {"starlette", "scipy", "joblib", "uvicorn"} <= pins.keys()
    assert pins == {name: version(name) for name in pins}
    assert "libgomp1" in dockerfile(["lightgbm==4.6.0"])
    assert "libgomp1" not in dockerfile(["scikit-learn==1.9.1"])


def test_an_export_is_deleted_and_its_bentos_stay(served: Served) -> None:
    made = exported(served, "docker", old=70, new=30)
    remover = removal.REMOVAL.removers["export"]
    assert made.undo == f"delete(handle={made.export!r}, dry_run=false)"
    assert {edge.parent for edge in Lineage(served.work.home).ancestors(made.export)} >= {
        served.old.bento, served.new.bento,
    }  # fmt: skip
    remover.remove(served.work, remover.find(served.work, made.export))
    assert not Path(made.folder).exists()
    with pytest.raises(ToolFailure, match="unknown export"):
        remover.find(served.work, made.export)
    assert exported(served, "docker", old=70, new=30).made


@pytest.mark.parametrize(
    ("traffic", "words"),
    [
        ({"old": 90, "new": 5}, "add up to 95"), ({"old": 0, "new": 0}, "add up to 0"),
        ({"bento:nothing:v1": 100}, "unknown bento"),
    ],
)  # fmt: skip
def test_shares_that_are_no_whole_and_bentos_that_are_not_there_are_refused(
    served: Served, traffic: dict[str, int], words: str
) -> None:
    with pytest.raises(ToolFailure, match=words):
        exported(served, "kubernetes", **traffic)


def test_one_bento_under_two_names_is_refused(served: Served) -> None:
    with pytest.raises(ToolFailure, match="stands twice"):
        exported(served, "kubernetes", **{served.old.bento: 50, served.old.bento.removeprefix("bento:"): 50})


def test_only_what_was_exported_is_applied_and_only_to_a_cluster_that_is_configured(served: Served) -> None:
    images = exported(served, "docker")
    with pytest.raises(ToolFailure, match="images are built by an engine of yours"):
        apply_deployment(served.work, ApplyRequest(export=images.export))
    made = exported(served, old=60, new=40)
    with pytest.raises(ToolFailure, match="no cluster is configured"):
        apply_deployment(served.work, ApplyRequest(export=made.export))
    route = next(Path(made.folder, "manifests").iterdir())
    route.write_bytes(route.read_bytes() + b"# changed\n")
    with pytest.raises(ToolFailure, match=f"{route.name} .* is not what was exported"):
        apply_deployment(served.work, ApplyRequest(export=made.export))
    assert exported(served, old=60, new=40).made
    Path(made.folder, "export.json").write_text("{", encoding="utf-8")
    with pytest.raises(ToolFailure, match=r"export\.json .* is not what was exported"):
        apply_deployment(served.work, ApplyRequest(export=made.export))
    assert exported(served, old=60, new=40).made
