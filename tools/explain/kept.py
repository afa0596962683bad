"""Explanations that were kept: their values, the rows they are of, and pictures of both."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ..addresses import EXPLANATION_PICTURE, address
from ..errors import ToolFailure, unknown
from ..handles import parse
from ..pictures import SMALL, WHOLE, Picture, drawn, label, table
from ..replica.steps import bring
from ..runtime.work import Work
from ..storage.state_files import private_folder
from .models import Explanation, Kind, PlottedColumn, PlottedExplanation
from .shown import ROOM, leading, plain

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

MOST_COLUMNS = 40


def explanations(work: Work) -> Path:
    return work.home / "explanations"


def keep(work: Work, explanation: Explanation, values: np.ndarray, features: pd.DataFrame) -> None:
    """Store values of shape (rows, columns), or (rows, columns, classes), with the rows by their number."""
    import numpy as np

    folder = explanations(work) / parse(explanation.explanation, "explanation").name
    draft = private_folder(folder.with_name(f".{folder.name}"))
    try:
        np.save(draft / "values.npy", values)
        features.to_parquet(draft / "features.parquet")
        text = json.dumps(explanation.model_dump(mode="json"), indent=1)
        (draft / "explanation.json").write_text(text, encoding="utf-8")
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def plot_explanation(work: Work, explanation: str, kind: Kind, limit: int) -> tuple[PlottedExplanation, Picture]:
    """The columns of a stored explanation with the largest contributions, in numbers and drawn by shap.

    Raises:
        ToolFailure: no such explanation, or points of one class are asked of an explanation of all.
    """
    found = _opened(work, explanation)
    _require_drawable(found, kind)
    order = found.order[:limit]
    columns = [_column(found, int(place), kind) for place in order]
    shown = leading(columns, ROOM)
    plotted = PlottedExplanation(
        explanation=f"explanation:{found.name}",
        kind=kind,
        unit=found.unit,
        rows=len(found.values),
        columns=shown,
        omitted=len(found.order) - len(shown),
        picture=address(EXPLANATION_PICTURE, explanation=found.name, kind=kind, limit=limit),
    )
    return plotted, _drawn(found, order, kind, columns, SMALL)


def explained(work: Work, explanation: str) -> Explanation:
    """A stored explanation as explain_model has answered it; nothing is drawn. Raises ToolFailure for none."""
    folder = bring(work.settings, _folder(work, explanation))
    return Explanation.model_validate_json((folder / "explanation.json").read_bytes())


def explanation_picture(work: Work, name: str, kind: str, limit: int) -> bytes:
    """The PNG of a stored explanation in full. Raises ToolFailure as `plot_explanation` does."""
    found, one_kind = _opened(work, f"explanation:{name}"), _kind(kind)
    _require_drawable(found, one_kind)
    order = found.order[: max(1, min(limit, MOST_COLUMNS))]
    return _drawn(found, order, one_kind, [_column(found, int(place), one_kind) for place in order], WHOLE).data


@dataclass(frozen=True)
class _Kept:
    """What was kept of an explanation: values of shape (rows, columns) or (rows, columns, classes)."""

    name: str
    unit: str
    values: np.ndarray
    features: pd.DataFrame

    @cached_property
    def sizes(self) -> np.ndarray:
        """Of shape (rows, columns): contributions, or the mean of their sizes over all classes."""
        import numpy as np

        return np.abs(self.values).mean(axis=2) if self.values.ndim == 3 else self.values

    @cached_property
    def order(self) -> np.ndarray:
        """The places of the columns, the largest contributions first."""
        import numpy as np

        return np.argsort(-np.abs(self.sizes).mean(axis=0), kind="stable")


def _opened(work: Work, explanation: str) -> _Kept:
    import numpy as np
    import pandas as pd

    folder = bring(work.settings, _folder(work, explanation))
    unit = str(json.loads((folder / "explanation.json").read_bytes()).get("unit", ""))
    values = np.load(folder / "values.npy", allow_pickle=False)
    return _Kept(folder.name, unit, values, pd.read_parquet(folder / "features.parquet"))


def _require_drawable(found: _Kept, kind: Kind) -> None:
    if found.values.ndim == 3 and kind != "bar":
        raise ToolFailure(
            f"explanation:{found.name} is of all classes, and a beeswarm is of one",
            "Draw kind='bar', or explain_model with a label.",
        )


def _column(found: _Kept, place: int, kind: Kind) -> PlottedColumn:
    import numpy as np

    values = found.sizes[:, place]
    low, median, high = np.quantile(values, (0.05, 0.5, 0.95)).tolist() if kind == "beeswarm" else (None, None, None)
    name = str(plain(str(found.features.columns[place])))
    return PlottedColumn(feature=name, mean_abs=float(np.abs(values).mean()), low=low, median=median, high=high)


def _drawn(found: _Kept, order: np.ndarray, kind: Kind, columns: list[PlottedColumn], most: int) -> Picture:
    import numpy as np
    import pandas as pd
    import shap

    # shap colours by number; a category has no order, so it is drawn in grey.
    shown = found.features.iloc[:, order].apply(pd.to_numeric, errors="coerce")
    shown.columns = [label(name) for name in shown.columns]

    def draw(figure: Figure) -> None:
        style, what = ("bar", "mean |contribution|") if kind == "bar" else ("dot", "contribution")
        drawing = np.random.default_rng(0)
        shap.summary_plot(
            found.sizes[:, order], shown, plot_type=style, max_display=len(order), show=False, rng=drawing
        )  # fmt: skip
        figure.axes[0].set_xlabel(f"{what}: {label(found.unit, 60)}")

    names = list(PlottedColumn.model_fields)
    return drawn(draw, table(names, [[getattr(each, name) for name in names] for each in columns]), most)


def _kind(given: str) -> Kind:
    known: tuple[Kind, ...] = get_args(Kind)
    if given not in known:
        raise unknown("kind of picture", given, known)
    return known[known.index(given)]


def _folder(work: Work, explanation: str) -> Path:
    folder = explanations(work)
    known = [path.name for path in folder.glob("[!.]*")] if folder.is_dir() else []
    if (name := parse(explanation, "explanation").name) not in known:
        raise unknown(
            "explanation", explanation, (f"explanation:{other}" for other in known), "explain_model makes one."
        )
    return folder / name
