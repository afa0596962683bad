"""Models on their way to an endpoint and back out of it, with real services."""

from __future__ import annotations

import json
import os
import pickle
import signal
import stat
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.modeling.card import CARD_FILE
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.pipelines import scores
from mlops_mcp.tools.modeling.store import find_model, load_pipeline
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import client, endpoints, processes
from mlops_mcp.tools.serving.bentos import find_bento
from mlops_mcp.tools.serving.connection import Connections
from mlops_mcp.tools.serving.models import Deployed, DeployRequest, Packaged, PackageRequest, Resources, Row
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.training.client import train_model
from mlops_mcp.tools.training.models import TrainRequest

ROOT = Path(__file__).parents[3]
LOANS = ROOT / "examples/credit_risk/loan_table.parquet"

# What the libraries warn of when they are imported is theirs; what we leave open is ours.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore", "error::ResourceWarning")]


@dataclass(frozen=True)
class Served:
    """Two models in one state folder, both packaged, the old one deployed as `credit`."""

    work: Work
    old: Packaged
    new: Packaged
    deployed: Deployed
    rows: list[Row]

    def deploy(self, bento: str, endpoint: str, percent: int = 100, replicas: int = 1) -> Deployed:
        return client.deploy_model(self.work, request(bento, endpoint, percent, replicas))


def request(bento: str, endpoint: str, percent: int = 100, replicas: int = 1) -> DeployRequest:
    return DeployRequest(
        bento=bento, endpoint=endpoint, replicas=replicas, resources=Resources(memory="1Gi"), percent=percent
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    home = tmp_path_factory.mktemp("serving")
    (home / "empty.yaml").touch()
    environ = {"MLOPS_HOME": str(home / "home"), "MLOPS_CONFIG": str(home / "empty.yaml")}
    work = Work(load(environ, {"data.roots": [str(ROOT / "examples")]}).settings, Tracer(lambda _span: None))
    old, new = packaged(work, trained(work, 20), "credit"), packaged(work, trained(work, 40), "credit")
    rows: list[Row] = json.loads(pd.read_parquet(LOANS)[names(old)].head(200).to_json(orient="records"))
    try:
        yield Served(work, old, new, client.deploy_model(work, request(old.bento, "credit")), rows)
    finally:
        for line in client.list_endpoints(work, 100, "").items:
            client.stop_endpoint(work, line.endpoint)
        assert serving_processes(work) == []
        close_connections(work)


def trained(work: Work, trees: int, target: str = "loan_status") -> str:
    wanted = TrainRequest(
        dataset=str(LOANS), target=target, algorithm="XGBoost", params={"n_estimators": trees},
        task="regression" if target == "loan_amnt" else "auto",
        features=[], exclude=[], validation="", run="", experiment="", seed=0,
    )  # fmt: skip
    return with_seen(work, train_model(work, wanted).model)


def with_seen(work: Work, model: str) -> str:
    """The model, its card with what pandas finds in the rows it was trained on."""
    stored = find_model(work, model)
    frame = pd.read_parquet(LOANS)[stored.card.names]
    seen = {
        feature.name: {"missing": int(frame[feature.name].isna().sum())}
        | (
            {"levels": sorted(frame[feature.name].dropna().unique())}
            if feature.kind == "category"
            else {"low": float(frame[feature.name].min()), "high": float(frame[feature.name].max())}
        )
        for feature in stored.card.features
    }
    card = stored.card.model_validate(stored.card.model_dump() | {"seen": seen})
    (stored.folder / CARD_FILE).write_text(card.model_dump_json(), encoding="utf-8")
    return model


def packaged(work: Work, model: str, name: str, version: str = "", batchable: bool = False) -> Packaged:
    return client.package_model(work, PackageRequest(model=model, name=name, version=version, batchable=batchable))


def names(bento: Packaged) -> list[str]:
    return [feature.name for feature in bento.features]


def serving_processes(work: Work) -> list[int]:
    """Everything alive that belongs to an endpoint of this state folder."""
    found: list[int] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(processes.HOME) == str(work.home.resolve()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def close_connections(work: Work) -> None:
    for kept in work.cache.values():
        if isinstance(kept, Connections):
            kept.close()


def master_of(served: Served, endpoint: str) -> int:
    return endpoints.read(served.work, endpoint).deployments[0].pid


def test_packaging_a_model_again_is_the_same_bento_and_builds_nothing(served: Served) -> None:
    again = packaged(served.work, served.old.model, "credit")
    assert (again.bento, again.built, served.old.built) == (served.old.bento, False, True)
    assert served.new.bento != served.old.bento


def test_a_version_that_holds_something_else_is_not_overwritten(served: Served) -> None:
    named = packaged(served.work, served.old.model, "named", "V1")
    assert named.bento == "bento:named:v1"
    with pytest.raises(ToolFailure, match="bento:named:v1 exists and holds models:/m-"):
        packaged(served.work, served.new.model, "named", "v1")
    with pytest.raises(ToolFailure, match="other options"):
        packaged(served.work, served.old.model, "named", "v1", batchable=True)


@pytest.mark.parametrize(("name", "version"), [("Credit Risk", ""), ("credit", "a/b"), ("credit", "..")])
def test_a_name_or_version_that_bentoml_would_change_is_refused(served: Served, name: str, version: str) -> None:
    with pytest.raises(ToolFailure, match=r"cannot (name|be)"):
        packaged(served.work, served.old.model, name, version)


def test_an_endpoint_says_exactly_what_the_registered_model_says(served: Served) -> None:
    rows = [dict(row) for row in served.rows]
    for index, row in enumerate(rows):
        row[names(served.old)[index % len(row)]] = None
        if index % 3 == 0:
            row["loan_intent"] = "A PURPOSE THAT TRAINING NEVER SAW"
    answer = client.predict(served.work, "credit", rows)
    model = find_model(served.work, served.old.model)
    expected = scores(load_pipeline(model), design(pd.DataFrame(rows), model.card), model.card)
    assert expected.shape == (200, 2)
    assert abs(np.array(answer.probabilities) - expected).max() <= 1e-9
    assert answer.predictions == [answer.classes[best] for best in expected.argmax(axis=1)]
    assert answer.bento == served.old.bento
    unseen = sum(row["loan_intent"] == "A PURPOSE THAT TRAINING NEVER SAW" for row in rows)
    assert (
        f"loan_intent holds values unseen in training in {unseen} of 200 rows, e.g. 'A PURPOSE THAT TRAINING NEVER '"
        in answer.notes
    )
    missing = sum(row["person_age"] is None for row in rows)
    assert f"person_age is missing in {missing} of 200 rows, and never was in training" in answer.notes


def test_values_that_training_had_none_of_are_counted_in_the_answer(served: Served) -> None:
    good = served.rows[0]
    assert client.predict(served.work, "credit", [good]).notes == []
    answer = client.predict(served.work, "credit", [{**good, "person_age": 1e9}, dict.fromkeys(good), good])
    assert "1 of 3 rows hold no value at all" in answer.notes
    assert any(note.startswith("person_age is outside of") and "in 1 of 3 rows" in note for note in answer.notes)


def test_a_regression_answers_with_its_numbers_and_no_probabilities(served: Served) -> None:
    reference = trained(served.work, 20, "loan_amnt")
    made = served.deploy(reference, "amounts")
    model = find_model(served.work, reference)
    rows = [{name: row.get(name, 0) for name in model.card.names} for row in served.rows]
    answer = client.predict(served.work, "amounts", rows)
    expected = scores(load_pipeline(model), design(pd.DataFrame(rows), model.card), model.card)
    assert made.bento.startswith("bento:loan_amnt_xgboost:")
    assert (answer.probabilities, answer.classes, answer.notes) == (None, [], [])
    assert abs(np.array(answer.predictions) - expected).max() <= 1e-9
    client.stop_endpoint(served.work, "amounts")


def test_what_the_model_cannot_take_is_refused_with_the_field(served: Served) -> None:
    def refusal(rows: list[Row]) -> str:
        with pytest.raises(ToolFailure) as caught:
            client.predict(served.work, "credit", rows)
        return str(caught.value)

    good = served.rows[0]
    assert "row 1: unknown person_aeg: did you mean person_age?" in refusal([good, {**good, "person_aeg": 3}])
    assert "row 0: person_age is absent" in refusal([{key: good[key] for key in good if key != "person_age"}])
    assert "person_income must be a number, but is 'much'" in refusal([{**good, "person_income": "much"}])
    assert "loan_intent must be a text, in quotes" in refusal([{**good, "loan_intent": 7}])
    assert "at least one row" in refusal([])
    deployment = endpoints.read(served.work, "credit").deployments[0]
    log = (endpoints.folder(served.work, "credit", deployment.id) / processes.LOG_FILE).read_text()
    assert "much" not in log
    assert "/predict" in log


def test_an_answer_that_would_be_too_long_says_what_it_leaves_out_and_how_to_get_it(served: Served) -> None:
    answer = client.predict(served.work, "credit", [*served.rows, served.rows[0]])
    assert (len(answer.predictions), answer.probabilities) == (201, None)
    assert answer.notes == ["probabilities left out: 2 for each row; send at most 200 rows for them"]


def test_a_bento_knows_its_model_and_an_endpoint_its_bento(served: Served) -> None:
    ancestors = Lineage(served.work.home).ancestors("endpoint:credit")
    assert ("endpoint:credit", served.old.bento) in [(edge.child, edge.parent) for edge in ancestors]
    assert (served.old.bento, served.old.model) in [(edge.child, edge.parent) for edge in ancestors]
    assert [edge.parent for edge in ancestors if edge.parent.startswith("dataset:loan_table@")]


def test_a_port_on_which_another_endpoint_answers_is_left_to_it(served: Served) -> None:
    def ports() -> Iterator[int]:
        yield endpoints.read(served.work, "credit").deployments[0].port
        yield from processes.free_ports()

    # The same bento answers there, so only its mark tells that it is not the one that was started.
    made = client.deploy(served.work, request(served.old.bento, "busy"), ports())
    assert made.url != served.deployed.url
    assert client.predict(served.work, "busy", served.rows[:1]).bento == served.old.bento
    client.stop_endpoint(served.work, "busy")
    assert client.predict(served.work, "credit", served.rows[:1]).bento == served.old.bento


def test_two_bentos_share_the_calls_as_told_and_each_answer_names_its_bento(served: Served) -> None:
    def answered() -> Counter[str]:
        return Counter(client.predict(served.work, "shared", served.rows[:1]).bento for _ in range(100))

    old, new = served.old.bento, served.new.bento
    served.deploy(old, "shared")
    assert served.deploy(new, "shared", percent=10).traffic == {old: 90, new: 10}
    assert answered() == {old: 90, new: 10}
    with pytest.raises(ToolFailure, match="Use set_traffic"):
        served.deploy(new, "shared", percent=20)
    assert client.set_traffic(served.work, "shared", new, 35).traffic == {old: 65, new: 35}
    assert answered() == {old: 65, new: 35}
    client.set_traffic(served.work, "shared", new, 100)
    assert answered() == {new: 100}
    assert sorted(served.deploy(old, "shared").stopped) == sorted([old, new])
    assert client.stop_endpoint(served.work, "shared").bentos == [old]


def test_a_dead_bento_is_reported_and_the_other_one_stands_in(served: Served) -> None:
    served.deploy(served.old.bento, "pair")
    served.deploy(served.new.bento, "pair", percent=50)
    kill(master_of(served, "pair"))
    line = next(each for each in client.list_endpoints(served.work, 20, "").items if each.endpoint == "endpoint:pair")
    assert (line.state, [each.state for each in line.deployments]) == ("degraded", ["dead", "ready"])
    answers = [client.predict(served.work, "pair", served.rows[:1]) for _ in range(4)]
    assert {answer.bento for answer in answers} == {served.new.bento}
    assert answers[0].notes == [f"{served.old.bento} is dead; its calls go elsewhere"]
    client.stop_endpoint(served.work, "pair")


def test_when_the_master_was_killed_the_endpoint_is_dead_and_a_new_version_answers_in_its_place(served: Served) -> None:
    first = served.deploy(served.old.bento, "killed")
    kill(master_of(served, "killed"))
    line = next(each for each in client.list_endpoints(served.work, 20, "").items if each.endpoint == "endpoint:killed")
    assert line.state == "dead"
    assert served.old.bento in line.notes[0]
    with pytest.raises(ToolFailure, match=r"is dead\. Deploy it again: deploy_model"):
        client.predict(served.work, "killed", served.rows[:1])
    # The orphaned worker still listens on the old port: the new version has to answer even there.
    orphaned = int(first.url.split(":")[2].split("/")[0])

    def ports() -> Iterator[int]:
        yield orphaned
        yield from processes.free_ports()

    client.deploy(served.work, request(served.new.bento, "killed"), ports())
    assert client.predict(served.work, "killed", served.rows[:1]).bento == served.new.bento
    state = endpoints.read(served.work, "killed")
    assert {each.split(".")[1] for each in marks(served, "killed")} == {state.deployments[0].id}
    client.stop_endpoint(served.work, "killed")


def test_stopping_an_endpoint_leaves_no_process_and_no_file(served: Served) -> None:
    served.deploy(served.old.bento, "short", replicas=2)
    assert len(marks(served, "short")) == 3
    stopped = client.stop_endpoint(served.work, "short")
    assert (stopped.endpoint, stopped.processes) == ("endpoint:short", 3)
    assert marks(served, "short") == []
    left = [path.name for path in (served.work.home / "endpoints").rglob("*") if "short" in str(path)]
    assert left == ["short.lock"]
    with pytest.raises(ToolFailure, match="unknown endpoint"):
        client.predict(served.work, "short", served.rows[:1])


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
    assert {each.name for each in place.iterdir() if each.is_socket()} == {"control", "events"}


def test_a_pickle_in_the_place_of_the_model_is_never_loaded(served: Served, tmp_path: Path) -> None:
    own = packaged(served.work, served.old.model, "planted")
    spec = find_bento(served.work, own.bento).spec
    file = served.work.settings.bentoml_home / "models" / spec.model_tag.replace(":", "/") / "model.skops"
    file.chmod(0o600)
    file.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(ToolFailure, match="not the one that was packaged"):
        served.deploy(own.bento, "planted")
    plan = processes.Plan("planted", find_bento(served.work, own.bento), 1, 1, 0)
    with pytest.raises(ToolFailure, match="its sha256 differs"):
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
    with pytest.raises(ToolFailure, match="UntrustedTypesFoundException"):
        processes.start(served.work, plan, lambda _started: None, processes.free_ports())


def test_a_batchable_bento_answers_row_by_row_as_well_and_refuses_the_same(served: Served) -> None:
    bento = packaged(served.work, served.old.model, "batched-1", batchable=True)
    assert bento.routes == ["/predict", "/predict_rows"]
    made = served.deploy(bento.bento, "by-row")
    whole = client.predict(served.work, "by-row", served.rows)
    assert whole.probabilities is not None
    url = made.url.replace("/predict", "/predict_rows")
    single = [
        {"prediction": p, "probabilities": q} for p, q in zip(whole.predictions, whole.probabilities, strict=True)
    ]
    assert post(url, {"rows": served.rows}) == (200, single)
    assert post(url, {"rows": []})[0] == 400
    assert post(url, {"rows": [{"x": 1}]})[0] == 400
    client.stop_endpoint(served.work, "by-row")


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)])


def marks(served: Served, endpoint: str) -> list[str]:
    found: list[str] = []
    for pid in serving_processes(served.work):
        process = psutil.Process(pid)
        found += [process.environ()[processes.MARK]] if marked(process, endpoint) else []
    return found


def marked(process: psutil.Process, endpoint: str) -> bool:
    return process.environ()[processes.MARK].startswith(f"{endpoint}.")


def post(url: str, content: Any) -> tuple[int, Any]:
    import http.client

    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=600)
    connection.request("POST", f"/{path}", json.dumps(content), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    try:
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()
