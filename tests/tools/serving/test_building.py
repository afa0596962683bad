"""A bento is built whole or not at all, by the real BentoML; its model is a file of a few bytes."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_mcp.tools.locks import locked
from mlops_mcp.tools.modeling.card import CARD_FILE, MODEL_FILE, Feature, ModelCard
from mlops_mcp.tools.modeling.store import StoredModel
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import building
from mlops_mcp.tools.serving.models import ServiceSpec

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore", "error::ResourceWarning")]

MODEL = b"a model"
SOURCE = building.Source(
    "service_whole", {"service_whole.py": "import bentoml\n\n@bentoml.service\nclass Predictor:\n    pass\n"}
)
# Dies like one that is killed, as soon as a file of that name is about to be copied into a store.
KILLED = """
import json, os, signal, sys
from pathlib import Path
from mlops_mcp.config.load import load
from mlops_mcp.tools.modeling.card import ModelCard
from mlops_mcp.tools.modeling.store import StoredModel
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import building
from mlops_mcp.tools.serving.models import ServiceSpec
from mlops_mcp.tools.tracing.span import Tracer

given = json.loads(sys.argv[1])

def watching(event, arguments):
    if event == "shutil.copyfile" and given["last"] in str(arguments[1]):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watching)
work = Work(load({"MLOPS_HOME": given["home"], "MLOPS_CONFIG": os.devnull}, {}).settings, Tracer(lambda _span: None))
model = StoredModel("local:m", "m-0", Path(given["folder"]), ModelCard.model_construct())
building.build(work, model, ServiceSpec.model_validate(given["spec"]), building.Source(*given["source"]))
"""


@pytest.fixture
def model(tmp_path: Path) -> StoredModel:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / MODEL_FILE).write_bytes(MODEL)
    (folder / CARD_FILE).write_text("{}")
    return StoredModel("local:m", "m-0", folder, ModelCard.model_construct())


@pytest.fixture
def spec() -> ServiceSpec:
    return ServiceSpec(
        name="whole", version="1", model_handle="m-0", model_uri="local:m", model_tag="whole:1",
        sha256=hashlib.sha256(MODEL).hexdigest(), algorithm="XGBoost", task="classification", target="y",
        features=[Feature(name="x", kind="number")], trusted=[], packages=["bentoml"], batchable=False,
    )  # fmt: skip


def killed(work: Work, model: StoredModel, spec: ServiceSpec, last: str) -> None:
    given = {
        "home": str(work.home), "folder": str(model.folder), "spec": spec.model_dump(mode="json"),
        "source": [SOURCE.module, SOURCE.files], "last": last,
    }  # fmt: skip
    ended = subprocess.run([sys.executable, "-c", KILLED, json.dumps(given)], check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def in_stores(work: Work) -> set[str]:
    """The versions in BentoML's stores, whole or not, and what else lies beside them."""
    home = work.settings.bentoml_home
    return {str(each.relative_to(home)) for each in (*home.glob("*/*/*"), *home.glob("tmp/*"), *home.glob("building"))}


def test_who_is_killed_while_a_bento_is_built_leaves_no_half_of_one_and_the_next_one_builds_it(
    work: Work, model: StoredModel, spec: ServiceSpec
) -> None:
    killed(work, model, spec, f"models/whole/1/{MODEL_FILE}")
    building.forget_unfinished_build(work)
    assert in_stores(work) == set()
    killed(work, model, spec, "bentos/whole/1/src/spec.json")
    whole_model = {"models/whole/1", "models/whole/latest"}
    assert {each for each in in_stores(work) if not each.startswith("building")} == whole_model
    building.build(work, model, spec, SOURCE)
    assert in_stores(work) == whole_model | {"bentos/whole/1", "bentos/whole/latest"}
    made = work.settings.bentoml_home / "bentos/whole"
    assert (made / "latest").read_text() == "1"
    assert (made / "1/src/service_whole.py").read_text() == SOURCE.files["service_whole.py"]


def test_the_build_of_another_one_that_goes_on_is_left_to_him(work: Work) -> None:
    begun = work.settings.bentoml_home / "building/context"
    begun.mkdir(parents=True)
    with locked(work.settings.bentoml_home / "build.lock", 0, "a bento is being built"):
        building.forget_unfinished_build(work)
        assert begun.is_dir()
    building.forget_unfinished_build(work)
    assert not begun.exists()
