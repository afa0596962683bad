"""Models on their way to an endpoint and back out of it, with real services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import numpy as np
import pandas as pd
import psutil
import pytest

from mlops_mcp.tools.data.comparison import compare_datasets
from mlops_mcp.tools.data.models import CompareRequest
from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.pipelines import scores
from mlops_mcp.tools.modeling.store import find_model, load_pipeline
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import batch, client, endpoints, processes
from mlops_mcp.tools.serving.bentos import find_bento
from mlops_mcp.tools.serving.endpoint_tokens import token_of
from mlops_mcp.tools.serving.models import BatchRequest, Deployed, Deployment, RollbackRequest, Row
from mlops_mcp.tools.serving.stored import list_bentos

from ...waiting import until
from .conftest import (
    LOANS,
    Served,
    close_connections,
    kill,
    marked,
    marks,
    master_of,
    names,
    packaged,
    post,
    request,
    serving_processes,
    trained,
)

# What the libraries warn of when they are imported is theirs; what we leave open is ours.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore", "error::ResourceWarning")]


def test_packaging_a_model_again_is_the_same_bento_and_builds_nothing(served: Served) -> None:
    again = packaged(served.work, served.old.model, "credit")
    assert (again.bento, again.built, served.old.built) == (served.old.bento, False, True)
    assert served.new.bento != served.old.bento


def test_what_was_packaged_here_is_listed_with_its_labels_and_can_be_deployed(served: Served) -> None:
    found = {line.name: line for line in list_bentos(served.work, 100, "").items}
    for made in (served.old, served.new):
        line = found[made.bento]
        assert (line.ours, line.deployable, line.why, line.model) == (True, True, None, made.model)
        assert line.labels["made_by"] == "mlops-mcp"
    assert all(line.ours and not line.deployable for line in found.values() if line.kind == "model")


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


def test_a_dataset_goes_through_an_endpoint_in_blocks_and_comes_out_as_from_its_model(served: Served) -> None:
    """In groups of rows of another size than the blocks, with holes, and shuffled."""
    frame = pd.read_parquet(LOANS).sample(230, random_state=1).assign(extra="x")
    frame.loc[frame.index[::7], ["loan_intent", "person_age"]] = None
    frame.to_parquet(served.work.home.parent / "blocks.parquet", index=False, row_group_size=60)
    source = resolve(served.work, str(served.work.home.parent / "blocks.parquet"))
    found: list[object] = []
    cursor: str | None = ""
    while cursor is not None:
        block = batch.block_of(served.work, "credit", source.handle, 100, cursor)
        answer = client.predict(served.work, "credit", block.items)
        found += [
            (label, *shares) for label, shares in zip(answer.predictions, answer.probabilities or [], strict=True)
        ]
        cursor = block.next_cursor
    made = batch.predict_dataset(served.work, BatchRequest(model=served.old.model, dataset=source.handle))
    table = resolve(served.work, made.dataset).frame(made.columns)
    assert found == list(table.itertuples(index=False, name=None))


def test_many_callers_at_once_are_answered_as_one_after_the_other(served: Served) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda row: client.predict(served.work, "credit", [row]).probabilities, served.rows[:80])
        )
    together = client.predict(served.work, "credit", served.rows[:80]).probabilities
    assert [shares for answer in answers for shares in answer or []] == together


def test_values_that_training_had_none_of_are_counted_in_the_answer(served: Served) -> None:
    good = served.rows[0]
    assert client.predict(served.work, "credit", [good]).notes == []
    answer = client.predict(served.work, "credit", [{**good, "person_age": 1e9}, dict.fromkeys(good), good])
    assert "1 of 3 rows hold no value at all" in answer.notes
    assert any(note.startswith("person_age is outside of") and "in 1 of 3 rows" in note for note in answer.notes)


def test_a_regression_answers_with_its_numbers_and_its_end_leaves_no_process_and_no_file(served: Served) -> None:
    reference = trained(served.work, 20, "loan_amnt")
    every = request(reference, "amounts", replicas=2).model_copy(update={"log_sample": 1.0})
    made = client.deploy_model(served.work, every)
    model = find_model(served.work, reference)
    rows = [{name: row.get(name, 0) for name in model.card.names} for row in served.rows]
    answer = client.predict(served.work, "amounts", rows)
    expected = scores(load_pipeline(model), design(pd.DataFrame(rows), model.card), model.card)
    assert made.bento.startswith("bento:loan_amnt_xgboost:")
    assert (answer.probabilities, answer.classes, answer.notes) == (None, [], [])
    assert abs(np.array(answer.predictions) - expected).max() <= 1e-9
    logged = resolve(served.work, "endpoint:amounts").frame()
    assert logged["prediction"].tolist() == answer.predictions
    assert logged[model.card.numbers].to_numpy() == pytest.approx(pd.DataFrame(rows)[model.card.numbers], nan_ok=True)
    assert set(logged["bento"]) == {made.bento.removeprefix("bento:")}
    assert "endpoint:amounts is then a dataset" in made.notes[-1]
    drift = CompareRequest(reference="endpoint:amounts", current="endpoint:amounts")
    assert f"is the training data of {made.bento}" in compare_datasets(served.work, drift).notes[0]
    assert len(marks(served, "amounts")) == 3
    stopped = client.stop_endpoint(served.work, "amounts")
    assert (stopped.endpoint, stopped.processes) == ("endpoint:amounts", 3)
    assert marks(served, "amounts") == []
    left = [path.name for path in (served.work.home / "endpoints").rglob("*") if "amounts" in str(path)]
    assert left == ["amounts.lock"]
    with pytest.raises(ToolFailure, match="unknown endpoint"):
        client.predict(served.work, "amounts", rows[:1])


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


def test_what_serves_already_is_not_deployed_again(served: Served) -> None:
    before = endpoints.read(served.work, "credit")
    again = served.deploy(served.old.bento, "credit")
    assert again.notes == [f"{served.old.bento} serves there already: nothing was changed"]
    assert (again.url, again.undo, again.stopped) == (served.deployed.url, None, [])
    assert endpoints.read(served.work, "credit") == before


def test_an_answer_that_would_be_too_long_says_what_it_leaves_out_and_how_to_get_it(served: Served) -> None:
    answer = client.predict(served.work, "credit", [*served.rows, served.rows[0]])
    assert (len(answer.predictions), answer.probabilities) == (201, None)
    assert answer.notes == ["probabilities left out: 2 for each row; send at most 200 rows for them"]


def test_a_bento_knows_its_model_and_an_endpoint_its_bento(served: Served) -> None:
    ancestors = Lineage(served.work.home).ancestors("endpoint:credit")
    assert ("endpoint:credit", served.old.bento) in [(edge.child, edge.parent) for edge in ancestors]
    assert (served.old.bento, served.old.model) in [(edge.child, edge.parent) for edge in ancestors]
    assert [edge.parent for edge in ancestors if edge.parent.startswith("dataset:loan_table@")]


def test_the_memory_of_each_process_is_bounded_as_asked_or_as_configured(served: Served) -> None:
    asked = endpoints.read(served.work, "credit").deployments[0]
    pids = [pid for pid in serving_processes(served.work) if marked(psutil.Process(pid), "credit")]
    assert (asked.limit_mb, served.deployed.memory_limit_mb, len(pids)) == (1024, 1024, 2)
    assert {psutil.Process(pid).rlimit(psutil.RLIMIT_DATA) for pid in pids} == {(1 << 30, 1 << 30)}
    assert client.list_endpoints(served.work, 1, "").items[0].deployments[0].memory_limit_mb == 1024


def test_a_port_on_which_another_endpoint_answers_is_left_to_it(served: Served) -> None:
    def ports() -> Iterator[int]:
        yield endpoints.read(served.work, "credit").deployments[0].port
        yield from processes.free_ports()

    # The same bento answers there, so only its mark tells that it is not the one that was started.
    made = client.deploy(served.work, request(served.old.bento, "busy"), ports())
    (mine,) = endpoints.read(served.work, "busy").deployments
    assert mine.port != endpoints.read(served.work, "credit").deployments[0].port
    assert made.url.endswith("/busy/predict")
    assert client.predict(served.work, "busy", served.rows[:1]).bento == served.old.bento
    client.stop_endpoint(served.work, "busy")
    assert client.predict(served.work, "credit", served.rows[:1]).bento == served.old.bento


def test_what_an_endpoint_says_last_is_heard_though_it_ends_while_it_is_looked_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, alive = endpoints.read(served.work, "credit").deployments[0].port, processes.master

    def ended(work: Work, endpoint: str, deployment: Deployment) -> psutil.Process | None:
        if deployment.port == taken:
            until(lambda: alive(work, endpoint, deployment) is None)
        return alive(work, endpoint, deployment)

    monkeypatch.setattr(processes, "master", ended)
    plan = processes.Plan("late", find_bento(served.work, served.old.bento), 1, 1, 0)
    with endpoints.change(served.work, "late"), pytest.raises(ToolFailure, match="no free port in 3 tries"):
        processes.start(served.work, plan, lambda _started: None, repeat(taken))


def test_two_bentos_share_the_calls_as_told_and_one_stands_in_for_a_dead_one_which_is_reported(served: Served) -> None:
    def answered() -> Counter[str]:
        return Counter(client.predict(served.work, "shared", served.rows[:1]).bento for _ in range(100))

    old, new = served.old.bento, served.new.bento
    served.deploy(old, "shared")
    assert served.deploy(new, "shared", percent=10).traffic == {old: 90, new: 10}
    # Eight sessions, each with a process of its own: their calls are counted in one place.
    sessions = [Work(served.work.settings, served.work.tracer) for _ in range(8)]
    found = Counter(client.predict(each, "shared", served.rows[:1]).bento for each in sessions for _ in range(10))
    assert found == {old: 72, new: 8}
    for each in sessions:
        close_connections(each)
    with pytest.raises(ToolFailure, match="Use set_traffic"):
        served.deploy(new, "shared", percent=20)
    assert client.set_traffic(served.work, "shared", new, 35).traffic == {old: 65, new: 35}
    assert answered() == {old: 65, new: 35}
    client.set_traffic(served.work, "shared", new, 100)
    assert answered() == {new: 100}
    assert sorted(served.deploy(old, "shared").stopped) == sorted([old, new])

    served.deploy(new, "shared", percent=50)
    with endpoints.change(served.work, "shared"):  # so that nobody starts it again meanwhile
        kill(master_of(served, "shared"))
        (line,) = [each for each in client.list_endpoints(served.work, 20, "").items if "shared" in each.endpoint]
        assert (line.state, [each.state for each in line.deployments]) == ("degraded", ["dead", "ready"])
        answers = [client.predict(served.work, "shared", served.rows[:1]) for _ in range(4)]
        assert answers[0].notes == [f"the process of {old} is dead; it is started again"]
    client.stop_endpoint(served.work, "shared")


def test_when_the_master_was_killed_the_endpoint_comes_back_by_itself_and_nobody_is_refused(served: Served) -> None:
    first = served.deploy(served.old.bento, "killed")
    (dead,) = endpoints.read(served.work, "killed").deployments
    kill(dead.pid)

    def living() -> bool:
        # What is left of it answers until the new one does.
        assert client.predict(served.work, "killed", served.rows[:1]).bento == served.old.bento
        return processes.master(served.work, "killed", endpoints.read(served.work, "killed").deployments[0]) is not None

    until(living)
    until(lambda: endpoints.read(served.work, "killed").events)
    state = endpoints.read(served.work, "killed")
    (made,) = state.deployments
    assert (made.bento, made.restarts, made.percent) == (served.old.bento, 1, 100)
    said = f"{dead.bento}: process {dead.pid} was gone; started again as {made.pid}, 1 orphan(s) of it ended"
    assert [each.what for each in state.events] == [said]
    assert {each.split(".")[1] for each in marks(served, "killed")} == {made.id}
    compared_and_back(served, first)
    client.stop_endpoint(served.work, "killed")


def compared_and_back(served: Served, first: Deployed) -> None:
    """A shadow beside it, which answers once it is told to, until a rollback ends it."""
    wanted = request(served.new.bento, "killed").model_copy(update={"shadow": True})
    shadow = client.deploy_model(served.work, wanted)
    assert (shadow.url, shadow.traffic) == (first.url, {served.old.bento: 100, served.new.bento: 0})
    assert client.predict(served.work, "killed", served.rows[:1]).bento == served.old.bento
    until(lambda: client.get_endpoint(served.work, "killed").versions[1].compared == 1)
    client.set_traffic(served.work, "killed", served.new.bento, 100)
    assert client.predict(served.work, "killed", served.rows[:1]).bento == served.new.bento
    seen = client.get_endpoint(served.work, "killed")
    old, new = seen.versions
    assert (seen.state, seen.rollback_to, new.shadow, old.restarts) == ("ready", served.old.bento, False, 1)
    assert (new.requests, new.errors, new.error_rate, old.percent, new.percent) == (2, 0, 0, 0, 100)
    assert "path=/predict" in client.get_endpoint_logs(served.work, "killed").logs[new.bento]
    back = client.rollback_endpoint(served.work, RollbackRequest(endpoint="killed"))
    assert (back.bento, back.traffic, back.stopped) == (served.old.bento, {served.old.bento: 100}, [served.new.bento])
    assert client.predict(served.work, "killed", served.rows[:1]).bento == served.old.bento


def test_a_batchable_bento_answers_row_by_row_as_well_and_refuses_the_same(served: Served) -> None:
    bento = packaged(served.work, served.old.model, "batched-1", batchable=True)
    assert bento.routes == ["/predict", "/predict_rows"]
    made = served.deploy(bento.bento, "by-row")
    whole = client.predict(served.work, "by-row", served.rows)
    assert whole.probabilities is not None
    url, token = made.url.replace("/predict", "/predict_rows"), token_of(served.work.home, "by-row")
    single = [
        {"prediction": p, "probabilities": q} for p, q in zip(whole.predictions, whole.probabilities, strict=True)
    ]
    assert post(url, {"rows": served.rows}, token) == (200, single)
    assert post(url, {"rows": []}, token)[0] == 400
    assert post(url, {"rows": [{"x": 1}]}, token)[0] == 400
    client.stop_endpoint(served.work, "by-row")
