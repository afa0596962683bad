"""Explanations that were kept: their values, the rows they are of, and pictures of both."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ToolFailure, unknown
from ..handles import parse
from ..runtime.work import Work
from .models import Explanation

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def explanations(work: Work) -> Path:
    return work.home / "explanations"


def keep(work: Work, explanation: Explanation, values: np.ndarray, features: pd.DataFrame) -> None:
    """Store values of shape (rows, columns), or (rows, columns, classes), with the rows by their number."""
    import numpy as np

    folder = explanations(work) / parse(explanation.explanation, "explanation").name
    folder.mkdir(parents=True)
    np.save(folder / "values.npy", values)
    features.to_parquet(folder / "features.parquet")
    (folder / "explanation.json").write_text(
        json.dumps(explanation.model_dump(mode="json"), indent=1), encoding="utf-8"
    )


def plot_explanation(work: Work, explanation: str, kind: str, limit: int) -> bytes:
    """A PNG of a stored explanation, drawn by shap; of several classes there are only bars.

    Raises:
        ToolFailure: no such explanation, or points of one class are asked of an explanation of all.
    """
    import io

    import matplotlib.pyplot as plt
    import numpy as np
    import pandas as pd

    folder = _folder(work, explanation)
    features = pd.read_parquet(folder / "features.parquet")
    values = np.load(folder / "values.npy", allow_pickle=False)
    unit = str(json.loads((folder / "explanation.json").read_bytes()).get("unit", ""))
    if values.ndim == 3 and kind != "bar":
        raise ToolFailure(
            f"{explanation} is of all classes, and a beeswarm is of one",
            "Draw kind='bar', or explain_model with a label.",
        )
    figure = plt.figure()
    try:
        _draw(np.abs(values).mean(axis=2) if values.ndim == 3 else values, features, kind, limit)
        # matplotlib reads text between dollars as a formula.
        what = "mean |contribution|" if kind == "bar" else "contribution"
        figure.axes[0].set_xlabel(f"{what}: {unit}".replace("$", r"\$"))
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110, bbox_inches="tight")
    finally:
        plt.close("all")
    (folder / f"{kind}.png").write_bytes(picture.getvalue())
    return picture.getvalue()


def _draw(values: np.ndarray, features: pd.DataFrame, kind: str, limit: int) -> None:
    import numpy as np
    import pandas as pd
    import shap

    # shap colours by number; a category has no order, so it is drawn in grey.
    shown = features.apply(pd.to_numeric, errors="coerce")
    style = "bar" if kind == "bar" else "dot"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        shap.summary_plot(values, shown, plot_type=style, max_display=limit, show=False, rng=np.random.default_rng(0))


def _folder(work: Work, explanation: str) -> Path:
    folder = explanations(work)
    known = [path.name for path in folder.glob("[!.]*")] if folder.is_dir() else []
    if (name := parse(explanation, "explanation").name) not in known:
        raise unknown(
            "explanation", explanation, (f"explanation:{other}" for other in known), "explain_model makes one."
        )
    return folder / name
