from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.store import find_model
from mlops_mcp.tools.registry import client
from mlops_mcp.tools.runtime.work import Work

pytestmark = pytest.mark.slow


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "z": rng.normal(size=300)})
    frame = frame.assign(y=(frame["x"] + 0.3 * frame["z"] > 0).astype(int))
    frame.to_parquet(tmp_path / "rows.parquet")
    return frame


def test_an_effect_model_is_registered_and_checked_and_not_packaged(
    work: Work, tmp_path: Path, frame: pd.DataFrame
) -> None:
    from mlops_mcp.tools.causal.client import estimate_effect
    from mlops_mcp.tools.causal.models import EffectRequest

    rng = np.random.default_rng(1)
    treated = rng.integers(0, 2, len(frame))
    frame.assign(t=treated, out=frame["x"] + 2 * treated).to_parquet(tmp_path / "effect.parquet")
    request = {"dataset": str(tmp_path / "effect.parquet"), "treatment": "t", "outcome": "out", "controls": ["z"]}
    more = {"effect_modifiers": ["x"], "estimator": "LinearDML", "params": {}, "run": "", "experiment": ""}
    found = estimate_effect(work, EffectRequest.model_validate(request | more | {"seed": 0}))
    version = client.register_model(work, found.model, "effects", {}, "")
    check = client.get_model(work, version.model, 5, True).check
    assert check is not None
    assert all(isinstance(value, float) and abs(value - 2) < 1 for value in check.predictions)
    with pytest.raises(ToolFailure, match="effect"):
        find_model(work, version.model)
