"""Runs, experiments, models, studies, bentos and views: what the libraries keep goes through them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.features import client as features
from mlops_mcp.tools.features.models import MaterializeRequest
from mlops_mcp.tools.modeling.store import find_model
from mlops_mcp.tools.registry import client as registry
from mlops_mcp.tools.registry import stages
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving.bentos import find_bento, model_folder
from mlops_mcp.tools.serving.client import package_model
from mlops_mcp.tools.serving.endpoints import write
from mlops_mcp.tools.serving.models import Deployment, EndpointFile, PackageRequest
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking import client as tracking
from mlops_mcp.tools.training.client import train_model
from mlops_mcp.tools.training.models import Trained, TrainRequest
from mlops_mcp.tools.tuning.storage import find_study, open_storage
from mlops_mcp.tools.upkeep.client import delete
from mlops_mcp.tools.upkeep.models import Deletion

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore", "error::ResourceWarning")]


@dataclass(frozen=True)
class House:
    """One state folder for all tests here: MLflow's client is the process's."""

    work: Work
    dataset: str

    def train(self, name: str = "Ridge", **changes: object) -> Trained:
        request = TrainRequest(dataset=self.dataset, target="y", algorithm=name, task="regression")
        return train_model(self.work, request.model_copy(update=changes))

    def remove(self, *handles: str) -> Deletion:
        return delete(self.work, list(handles), False, False)

    def preview(self, *handles: str) -> Deletion:
        return delete(self.work, list(handles), True, False)

    def restore(self, *handles: str) -> Deletion:
        return delete(self.work, list(handles), True, True)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    folder = tmp_path_factory.mktemp("upkeep")
    (folder / "empty.yaml").touch()
    environ = {"MLOPS_HOME": str(folder / "home"), "MLOPS_CONFIG": str(folder / "empty.yaml")}
    work = Work(load(environ).settings, Tracer(lambda _: None))
    rows = pa.table({"x": [float(n % 7) for n in range(60)], "y": [n % 7 + n * 0.37 for n in range(60)]})
    return House(work, save(work, rows, "rows", [], "test").handle)


def test_a_run_goes_with_those_below_it_and_comes_back(house: House) -> None:
    parent = tracking.start_run(house.work, "trials", "parent", {}).run
    below = {"mlflow.parentRunId": parent.removeprefix("run:")}
    child = tracking.start_run(house.work, "trials", "child", below).run
    gone = house.remove(parent)
    assert (gone.handles, gone.restorable, gone.files) == ([parent, child], True, 0)
    assert tracking.search_runs(house.work, "trials", "", "", 10, "").items == []
    again = house.remove(parent)
    assert (again.state, again.next) == ("already_gone", f"delete(handle={parent!r}, restore=true)")
    assert gone.undo == again.next
    assert house.restore(parent).handles == [parent, child]
    assert len(tracking.search_runs(house.work, "trials", "", "", 10, "").items) == 2
    with pytest.raises(ToolFailure, match="is not deleted"):
        house.restore(parent)


def test_an_experiment_goes_with_its_runs_and_comes_back(house: House) -> None:
    made = tracking.create_experiment(house.work, "passing", {})
    run = tracking.start_run(house.work, "passing", "", {}).run
    gone = house.remove("experiment:passing")
    assert gone.handles == [f"experiment:{made.name}", run]
    with pytest.raises(ToolFailure, match="unknown experiment"):
        tracking.search_runs(house.work, "passing", "", "", 10, "")
    with pytest.raises(ToolFailure, match="brings back all of it"):
        house.restore(run)
    house.restore("experiment:passing")
    assert [line.run for line in tracking.search_runs(house.work, "passing", "", "", 10, "").items] == [run]
    with pytest.raises(ToolFailure, match="unknown experiment"):
        house.remove("experiment:pasing")


def test_a_model_goes_with_its_files_and_not_while_a_version_stands_for_it(house: House) -> None:
    trained = house.train()
    folder = find_model(house.work, trained.model).folder
    version = registry.register_model(house.work, trained.model, "kept", {}, "").model
    with pytest.raises(ToolFailure, match=f"delete\\(handle='{version}', dry_run=false\\)"):
        house.remove(trained.model)
    assert house.preview(trained.model, version).blocked == []
    assert house.remove(trained.model, version).state == "deleted"
    assert not folder.exists()
    assert house.remove(trained.model).state == "already_gone"
    with pytest.raises(ToolFailure, match="unknown model"):
        find_model(house.work, trained.model)


def test_a_version_in_production_stays_until_it_is_archived_and_the_name_goes_with_the_last(house: House) -> None:
    for algorithm in ("Ridge", "Lasso"):
        registry.register_model(house.work, house.train(algorithm).model, "credit", {}, "")
    stages.transition_stage(house.work, "model:credit/2", "Production", True)
    with pytest.raises(ToolFailure, match=r"transition_stage\(model='model:credit/2', stage='Archived'\)"):
        house.remove("model:credit")
    assert house.remove("model:credit/1").handles == ["model:credit/1"]
    stages.transition_stage(house.work, "model:credit/2", "Archived", True)
    assert house.remove("model:credit/2").handles == ["model:credit/2", "model:credit"]
    assert "credit" not in registry.model_names(house.work)
    assert house.remove("model:credit").state == "already_gone"


def test_a_model_that_an_endpoint_serves_stays_and_a_bento_takes_its_copy_with_it(house: House) -> None:
    trained = house.train(params={"alpha": 3.0})
    version = registry.register_model(house.work, trained.model, "served", {}, "").model
    first, second = (package_model(house.work, _pack(version, batchable)) for batchable in (False, True))
    copy = model_folder(house.work, find_bento(house.work, first.bento).spec)
    running = Deployment(id="a", bento=first.bento, model=version, pid=1, port=1, started="", replicas=1, percent=100)
    write(house.work, EndpointFile(endpoint="live", deployments=[running]))
    for handle in (first.bento, version, trained.model):
        with pytest.raises(ToolFailure, match=r"stop_endpoint\(endpoint='endpoint:live'\)|delete"):
            house.remove(handle)
    assert house.remove("endpoint:live").state == "deleted"
    assert not (house.work.home / "endpoints" / "live.json").exists()
    assert house.remove(first.bento).state == "deleted"
    assert copy.is_dir()
    assert house.remove(second.bento, version, trained.model).state == "deleted"
    assert not copy.parent.exists()
    assert not list(house.work.settings.bentoml_home.glob("bentos/*"))


def _pack(model: str, batchable: bool) -> PackageRequest:
    return PackageRequest(model=model, name="served", version="", batchable=batchable)


def test_a_study_goes_but_not_while_it_is_being_tuned(house: House) -> None:
    import optuna

    from mlops_mcp.tools.tuning.storage import driving

    with driving(house.work, "searching") as storage:
        optuna.create_study(study_name="searching", storage=storage)
        with pytest.raises(ToolFailure, match="is being tuned"):
            house.remove("study:searching")
    assert house.remove("study:searching").files == 1
    with pytest.raises(ToolFailure, match="unknown study"):
        find_study(house.work, "study:searching")
    assert house.remove("study:searching").state == "already_gone"


def test_a_study_in_a_database_goes_too(house: House, tmp_path: Path) -> None:
    import optuna

    url = f"sqlite:///{tmp_path / 'studies.db'}"
    stored = house.work.settings.model_copy(
        update={"optuna": house.work.settings.optuna.model_copy(update={"study_storage": url})}
    )
    work = Work(stored, Tracer(lambda _: None))
    optuna.create_study(study_name="shared", storage=open_storage(work, "shared"))
    assert delete(work, ["study:shared"], False, False).state == "deleted"
    assert optuna.get_all_study_names(url) == []


def test_a_view_goes_with_its_online_values_and_holds_its_dataset_until_then(house: House) -> None:
    times = pd.date_range("2024-01-01", periods=3, tz="UTC").as_unit("us")
    frame = pd.DataFrame({"key": [1, 2, 3], "at": times, "f": [1.0, 2.0, 3.0]})
    data = save(house.work, pa.Table.from_pandas(frame), "facts", [], "test").handle
    view = features.register_features(house.work, data, "facts", "key", "at", [], "", None, "").view
    again = MaterializeRequest(views=["facts"], start="", end="")
    features.materialize_features(house.work, again)
    with pytest.raises(ToolFailure, match=r"delete\(handle='features:facts', dry_run=false\) frees it"):
        house.remove(data)
    assert "online:facts" in house.preview(view).handles
    assert house.remove("online:facts").state == "deleted"
    with pytest.raises(ToolFailure, match="never materialized"):
        features.get_online_features(house.work, ["facts:f"], [{"key": 1}])
    assert features.materialize_features(house.work, again).undo == "delete(handle='online:facts', dry_run=false)"
    assert house.remove(view).state == "deleted"
    assert features.list_features(house.work, "", 10, "").items == []
    assert house.remove(data).state == "deleted"
    # The entity went as well: the same key may be of another type now.
    text = save(house.work, pa.Table.from_pandas(frame.astype({"key": str})), "facts", [], "test").handle
    assert features.register_features(house.work, text, "other", "key", "at", [], "", None, "").entity_type == "string"


def test_what_is_needed_by_what_goes_as_well_may_go_with_it(house: House) -> None:
    times = pd.date_range("2024-01-01", periods=2, tz="UTC").as_unit("us")
    frame = pd.DataFrame({"id": [1, 2], "at": times, "g": [1.0, 2.0]})
    data = save(house.work, pa.Table.from_pandas(frame), "pairs", [], "test").handle
    view = features.register_features(house.work, data, "pairs", "id", "at", [], "", None, "").view
    assert house.remove(data, view).state == "deleted"
