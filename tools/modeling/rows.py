"""The rows a model was trained on, known by hashes of 8 bytes, whatever file or handle others come in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.identity import KINDS_OF_ROWS, row_hashes
from ..data.store import resolve
from ..errors import ToolFailure
from ..runtime.work import Work
from .card import ModelCard
from .frame import design
from .target import encode, labelled

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

ROWS_FILE = "rows.npz"


@dataclass(frozen=True)
class Rows:
    """Hashes of rows, each of shape (rows,): of features, of features and target, of the group column or empty."""

    features: np.ndarray
    whole: np.ndarray
    groups: np.ndarray

    def write(self, folder: Path) -> None:
        import numpy as np

        np.savez(folder / ROWS_FILE, features=self.features, whole=self.whole, groups=self.groups)


def rows_of(frame: pd.DataFrame, card: ModelCard, group: str = "") -> Rows:
    """The hashes of labelled rows as a model of this card sees them.

    Raises:
        ToolFailure: rows that the model cannot take.
    """
    import numpy as np
    import pandas as pd

    features = row_hashes(_inputs(frame, card))
    target = frame[card.target].to_numpy() if card.task == "effect" else encode(frame[card.target], card)
    whole = row_hashes(pd.DataFrame({0: features, 1: row_hashes(pd.DataFrame({0: target}))}))
    known = frame[group].dropna() if group in frame.columns else None
    groups = np.unique(row_hashes(known.to_frame())) if known is not None else np.zeros(0, dtype=np.uint64)
    return Rows(features, whole, groups)


def _inputs(frame: pd.DataFrame, card: ModelCard) -> pd.DataFrame:
    if card.treatment is None:
        return design(frame, card)
    return frame[[*card.names, *(control.name for control in card.treatment.controls), card.treatment.column]]


def trained_rows(work: Work, folder: Path, card: ModelCard) -> Rows | None:
    """The rows stored with a model, else those of its dataset; None where neither is there any more."""
    import numpy as np

    if (file := folder / ROWS_FILE).is_file():
        with np.load(file, allow_pickle=False) as found:
            return Rows(found["features"], found["whole"], found["groups"])
    try:
        return rows_of(labelled(resolve(work, card.dataset).frame(), card.target)[0], card)
    except ToolFailure:
        return None


@dataclass(frozen=True)
class Overlap:
    """How many of `rows` were trained on, have the features of a row that was, or are of a group that was.

    `kinds` are the distinct rows of features in training, of `trained` rows.
    """

    rows: int
    same: int
    alike: int
    of_group: int
    kinds: int
    trained: int

    @property
    def by_chance(self) -> bool:
        """Whether training has so few kinds of rows that others may be the same without being copies."""
        return self.kinds < KINDS_OF_ROWS * self.trained

    def notes(self, group: str) -> list[str]:
        found: list[str] = []
        if self.same:
            why = f", maybe by chance: training has {self.kinds} distinct rows of features" if self.by_chance else ""
            found.append(f"{self.same} of {self.rows} rows were trained on: no estimate for new data{why}")
        if other := self.alike - self.same:
            found.append(f"{other} of {self.rows} rows have the features of a training row, with another target")
        if self.of_group:
            found.append(
                f"{self.of_group} of {self.rows} rows are of a {group} that was trained on: "
                f"split_dataset(group={group!r}) keeps each in one part"
            )
        return found


def overlap(trained: Rows, others: Rows, groups: pd.Series | None = None) -> Overlap:
    """Args: `groups` is the group of each of the other rows."""
    import numpy as np

    of_group = 0
    if groups is not None and len(trained.groups):
        known = groups.dropna()
        of_group = int(np.isin(row_hashes(known.to_frame()), trained.groups).sum())
    return Overlap(
        rows=len(others.whole),
        same=int(np.isin(others.whole, trained.whole).sum()),
        alike=int(np.isin(others.features, trained.features).sum()),
        of_group=of_group,
        kinds=len(np.unique(trained.features)),
        trained=len(trained.features),
    )
