"""Contributions of trees beside a shap.TreeExplainer that is made already."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from mlops_mcp.tools.explain.margins import margins
from mlops_mcp.tools.modeling.algorithms import algorithm

from .case import Case, Outcome, in_turn

COLUMNS, TRAINED_ROWS, TOLERANCE = 20, 10_000, 1e-4
# They are explained once: either side needs minutes of a core, in the library itself.
MANY_ROWS = 100_000
MODELS = {"XGBoost": ("xgboost", "XGBClassifier"), "LightGBM": ("lightgbm", "LGBMClassifier")}


def explained(name: str, rows: int, _: Path) -> Outcome:
    import numpy as np
    import pandas as pd
    import shap

    module, kind = MODELS[name]
    random = np.random.default_rng(0)
    drawn = random.normal(size=(rows + TRAINED_ROWS, COLUMNS))
    columns = pd.DataFrame(drawn, columns=[f"x{place}" for place in range(COLUMNS)])
    target = (columns.x0 + columns.x1 * columns.x2 + random.normal(size=len(columns)) > 0).astype(int)
    model: Any = getattr(import_module(module), kind)(n_estimators=100)
    model.fit(columns[:TRAINED_ROWS], target[:TRAINED_ROWS])
    explainer, asked, found = shap.TreeExplainer(model), columns[TRAINED_ROWS:], dict[str, Any]()
    without_card: Any = None

    def ours() -> None:
        found["ours"] = margins(model, algorithm(name), without_card, asked, None).values

    def beside() -> None:
        found["beside"] = np.asarray(explainer.shap_values(asked))

    took = in_turn(ours, beside, 3 if rows < MANY_ROWS else 1)
    apart = float(np.abs(found["ours"].reshape(rows, COLUMNS) - found["beside"].reshape(rows, COLUMNS)).max())
    return Outcome(*took, apart <= TOLERANCE, f"apart by {apart:.1g}")


CASES = [
    Case(
        f"explain {name} {rows}",
        f"contributions of 100 trees to {rows} rows of {COLUMNS} columns",
        "warm shap.TreeExplainer",
        "1 x",
        partial(explained, name, rows),
    )
    for name in MODELS
    for rows in (10_000, MANY_ROWS)
]
