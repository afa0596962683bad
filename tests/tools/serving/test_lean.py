"""A service opens its model with what that needs, and trusts only what is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlops_mcp.tools.modeling.opened.admitted import TRUSTED

ROOT = Path(__file__).parents[3]
OPENS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import lean
model = lean.opened(Path(sys.argv[2]).read_bytes(), sys.argv[3:])
from sklearn.utils import all_estimators
import sklearn.utils
found = [name for name in ("dask", "numba", "pytest", "sklearn.semi_supervised") if name in sys.modules]
print(type(model).__name__, found, all_estimators.__module__, sklearn.utils.all_estimators is all_estimators)
import dask
"""


# As in a process that was forked from one that has opened models for others.
WARM = """
import skops.io
from mlops_mcp.tools.serving import worker
worker._forget_whom_skops_trusts()
"""


def opened(path: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    given = [str(ROOT / "tools/serving"), str(path), *TRUSTED]
    return subprocess.run([sys.executable, "-c", before + OPENS, *given], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_model_is_opened_without_all_that_skops_walks_through(tmp_path: Path) -> None:
    import skops.io
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    skops.io.dump(make_pipeline(StandardScaler(), Ridge()).fit([[1.0], [2.0]], [1.0, 2.0]), tmp_path / "model.skops")
    found = opened(tmp_path / "model.skops")
    assert (found.returncode, found.stdout.split()) == (
        0, ["Pipeline", "[]", "sklearn.utils.discovery", "True"]
    ), found.stderr  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", WARM], ids=["cold", "warm"])
def test_what_no_model_of_ours_holds_is_not_opened_though_skops_would(tmp_path: Path, before: str) -> None:
    import skops.io
    from sklearn.feature_extraction.text import CountVectorizer

    skops.io.dump(CountVectorizer(input="filename"), tmp_path / "model.skops")
    assert isinstance(skops.io.load(tmp_path / "model.skops"), CountVectorizer)
    found = opened(tmp_path / "model.skops", before)
    assert found.returncode == 1
    assert "UntrustedTypesFoundException" in found.stderr
    assert "CountVectorizer" in found.stderr
