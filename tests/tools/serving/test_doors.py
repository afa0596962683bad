"""What an endpoint lets in: who bears its token, what is bounded, and no code or model but its own."""

from __future__ import annotations

import importlib.util
import json
import marshal
import pickle
import stat
import struct
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.serving import client, endpoints, processes
from mlops_mcp.tools.serving.bentos import find_bento, require_whole
from mlops_mcp.tools.serving.endpoint_tokens import token_of
from mlops_mcp.tools.serving.guard import MAX_BODY
from mlops_mcp.tools.serving.models import RollbackRequest

from .conftest import Served, ask, marked, marks, packaged, post, serving_processes

# What the libraries warn of when they are imported is theirs; what we leave open is ours.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore", "error::ResourceWarning")]

ROUTES = (
    "/predict", "/predict_rows", "/identity", "/livez", "/readyz", "/healthz", "/metrics", "/docs.json",
    "/schema.json", "/", "/static_content/index.css", "/nothing",
)  # fmt: skip


def test_nothing_of_an_endpoint_listens_but_its_own_port(served: Served) -> None:
    """Circus would take commands from any user of the machine, to start any program."""
    (deployment,) = endpoints.read(served.work, "credit").deployments
    found = [each for each in map(psutil.Process, serving_processes(served.work)) if marked(each, "credit")]
    assert len(found) == 2
    listening = {each.laddr.port for one in found for each in one.net_connections("inet") if each.status == "LISTEN"}
    assert listening == {deployment.port}
    assert not [each for one in found for each in one.net_connections("udp")]
    place = endpoints.folder(served.work, "credit", deployment.id)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert {each.name for each in place.iterdir() if each.is_socket()} == set()


def test_an_endpoint_answers_nobody_without_its_token_and_does_not_say_what_it_is(served: Served) -> None:
    base = served.deployed.url.removesuffix("/predict")
    rows = json.dumps({"rows": served.rows[:1]}).encode()
    bento, model = served.old.bento.removeprefix("bento:"), served.old.model
    (deployment,) = endpoints.read(served.work, "credit").deployments
    for path in ROUTES:
        for method, token in (("GET", ""), ("POST", ""), ("POST", "another")):
            status, said = ask(f"{base}{path}", token, method, rows)
            assert status == 401, path
            assert not [each for each in (bento, model, deployment.id, "credit") if each.encode() in said]


def test_with_the_token_an_endpoint_takes_rows_in_reason_and_has_no_other_route(served: Served) -> None:
    url, token = served.deployed.url, token_of(served.work.home, "credit")
    base = url.removesuffix("/predict")
    status, said = post(url, {"rows": served.rows[:2]}, token)
    assert (status, len(said["predictions"])) == (200, 2)
    found = {path: ask(f"{base}{path}", token)[0] for path in ROUTES}
    assert {path for path, status in found.items() if status == 200} == {"/livez", "/readyz"}
    assert {path for path, status in found.items() if status == 405} == {"/predict", "/identity"}
    row = json.dumps(served.rows[0])
    many = f'{{"rows": [{",".join([row] * 10_001)}]}}'.encode()
    status, said = ask(url, token, "POST", many)
    assert (status, b"10001 rows are more than 10000: send them in parts" in said) == (422, True)
    assert ask(url, token, "POST", bytes(MAX_BODY + 1))[0] == 413
    assert ask(url, token, "POST", many[:100], kind="text/plain")[0] == 415
    with pytest.raises(ToolFailure, match="10001 rows are more than 10000"):
        client.predict(served.work, "credit", [served.rows[0]] * 10_001)


def test_the_token_of_an_endpoint_is_in_its_own_file_alone(served: Served) -> None:
    token = token_of(served.work.home, "credit").encode()
    assert "endpoint-token credit" in served.deployed.notes[0]
    holding = {path.name for path in served.work.home.rglob("*") if path.is_file() and token in path.read_bytes()}
    assert holding == {"credit.token"}
    for one in map(psutil.Process, serving_processes(served.work)):
        assert token not in " ".join([*one.cmdline(), *one.environ().values()]).encode()
    said = client.list_endpoints(served.work, 20, "").model_dump_json() + served.deployed.model_dump_json()
    assert token not in said.encode()


def test_the_token_stays_when_another_bento_takes_over_and_goes_when_the_endpoint_ends(served: Served) -> None:
    served.deploy(served.old.bento, "token")
    token = token_of(served.work.home, "token")
    made = served.deploy(served.new.bento, "token")
    assert token_of(served.work.home, "token") == token
    assert post(made.url, {"rows": served.rows[:1]}, token)[0] == 200
    back = client.rollback_endpoint(served.work, RollbackRequest(endpoint="token"))
    assert (back.url, back.bento, back.stopped) == (made.url, served.old.bento, [served.new.bento])
    assert (post(back.url, {"rows": served.rows[:1]}, token)[0], token_of(served.work.home, "token")) == (200, token)
    client.stop_endpoint(served.work, "token")
    with pytest.raises(ToolFailure, match="unknown endpoint"):
        token_of(served.work.home, "token")


@pytest.mark.parametrize("change", ["edited", "added", "bento.yaml", "compiled"])
def test_code_that_was_planted_in_a_bento_is_never_run_and_packaging_again_mends_it(
    served: Served, tmp_path: Path, change: str
) -> None:
    own = packaged(served.work, served.old.model, f"code-{change.partition('.')[0]}")
    bento = find_bento(served.work, own.bento)
    sprung = tmp_path / "sprung"
    trap = f"open({str(sprung)!r}, 'w').close()\n"
    source = bento.folder / "src"
    for path in (bento.folder, source, *source.iterdir(), bento.folder / "bento.yaml"):
        path.chmod(0o700)
    if change == "edited":
        (source / "rows.py").write_text(trap + (source / "rows.py").read_text())
    elif change == "added":
        (source / "skops.py").write_text(trap)
    elif change == "bento.yaml":
        (source.parent / "bento.yaml").write_text((source.parent / "bento.yaml").read_text().replace("service_", "x_"))
    else:
        plant_compiled(source / "rows.py", trap)
        require_whole(served.work, bento)
        assert not list(source.rglob("*.pyc"))
        return
    with pytest.raises(ToolFailure, match=r"the code of .* Package it again: package_model"):
        served.deploy(own.bento, "code")
    assert packaged(served.work, served.old.model, bento.spec.name).built
    require_whole(served.work, find_bento(served.work, own.bento))
    assert not sprung.exists()


def plant_compiled(source: Path, code: str) -> None:
    """Python believes a compiled file that bears the time and the size of its source."""
    facts = source.stat()
    head = importlib.util.MAGIC_NUMBER + struct.pack("<III", 0, int(facts.st_mtime), facts.st_size)
    target = Path(importlib.util.cache_from_source(str(source)))
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(head + marshal.dumps(compile(code, str(source), "exec")))


def test_a_pickle_in_the_place_of_the_model_is_never_loaded(served: Served, tmp_path: Path) -> None:
    own = packaged(served.work, served.old.model, "planted")
    spec = find_bento(served.work, own.bento).spec
    file = served.work.settings.bentoml_home / "models" / spec.model_tag.replace(":", "/") / "model.skops"
    file.chmod(0o600)
    file.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(ToolFailure, match="not the one that was packaged"):
        served.deploy(own.bento, "planted")
    plan = processes.Plan("planted", find_bento(served.work, own.bento), 1, 1, 0)
    with endpoints.change(served.work, "planted"), pytest.raises(ToolFailure, match="its sha256 differs"):
        processes.start(served.work, plan, lambda _started: None, processes.free_ports())
    assert not (tmp_path / "sprung").exists()
    assert marks(served, "planted") == []


def test_a_file_of_types_that_are_not_trusted_is_not_loaded_even_if_its_digest_fits(served: Served) -> None:
    own = packaged(served.work, served.old.model, "untrusted")
    bento = find_bento(served.work, own.bento)
    file = bento.folder / "src/spec.json"
    file.chmod(0o600)
    file.write_text(bento.spec.model_copy(update={"trusted": ["numpy.dtype"]}).model_dump_json())
    plan = processes.Plan("untrusted", bento, 1, 1, 0)
    with endpoints.change(served.work, "untrusted"), pytest.raises(ToolFailure, match="UntrustedTypesFoundException"):
        processes.start(served.work, plan, lambda _started: None, processes.free_ports())


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)
