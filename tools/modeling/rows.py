"""The rows a model was trained on, known by hashes of 8 bytes, whatever file or handle others come in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
# Digits that a copy keeps which was rounded, or saved as 32-bit floats; whole numbers below 2**24 keep all.
DIGITS = 4
WHOLE_NUMBERS = 2**24
# How unlikely chance must be to have made rows alike but for their last digits, or alike in all.
BY_CHANCE = 1e-6
LIKELY = 0.01
# Rows can be the same by nature if no column tells most of them apart, and then few are.
TELLS_APART = 0.5
FEW_BY_NATURE = 0.05
# Of rows, so many are most.
MOST = 0.5


@dataclass(frozen=True)
class Rows:
    """Hashes of rows, each of shape (rows,): of features, of features and target, of the group column or empty.

    `near` are those of features and target with few digits, empty for models that are older than it; `coarse` says that
    no feature tells most rows apart.
    """

    features: np.ndarray
    whole: np.ndarray
    groups: np.ndarray
    near: np.ndarray
    coarse: bool = False

    def write(self, folder: Path) -> None:
        import numpy as np

        np.savez(
            folder / ROWS_FILE, features=self.features, whole=self.whole, groups=self.groups, near=self.near,
            coarse=self.coarse,
        )  # fmt: skip

    @classmethod
    def read(cls, file: Path) -> Rows:
        import numpy as np

        with np.load(file, allow_pickle=False) as found:
            stored = {name: found[name] for name in found.files}
        near = stored.get("near", np.zeros(0, dtype=np.uint64))
        coarse = bool(stored.get("coarse", False))
        return cls(stored["features"], stored["whole"], stored["groups"], near, coarse)


def rows_of(frame: pd.DataFrame, card: ModelCard, group: str = "") -> Rows:
    """The hashes of labelled rows as a model of this card sees them.

    Raises:
        ToolFailure: rows that the model cannot take.
    """
    import numpy as np
    import pandas as pd

    inputs = _inputs(frame, card)
    features = row_hashes(inputs)
    target = frame[card.target].to_numpy() if card.task == "effect" else encode(frame[card.target], card)
    whole = row_hashes(pd.DataFrame({0: features, 1: row_hashes(pd.DataFrame({0: target}))}))
    known = frame[group].dropna() if group in frame.columns else None
    groups = np.unique(row_hashes(known.to_frame())) if known is not None else np.zeros(0, dtype=np.uint64)
    near = row_hashes(pd.DataFrame({n: _blurred(column) for n, column in enumerate(_columns(inputs, target))}))
    coarse = not any(inputs[name].nunique() > TELLS_APART * len(inputs) for name in inputs)
    return Rows(features, whole, groups, near, coarse)


def _columns(inputs: pd.DataFrame, target: Any) -> list[pd.Series]:
    import pandas as pd

    return [*(inputs.iloc[:, n].reset_index(drop=True) for n in range(inputs.shape[1])), pd.Series(target)]


def _blurred(values: pd.Series) -> pd.Series:
    """Numbers with few significant digits, but for the whole ones that a 32-bit float holds."""
    import numpy as np
    import pandas as pd

    if values.dtype.kind != "f":
        return values
    numbers = values.to_numpy(dtype=float)
    rest = np.isfinite(numbers) & ((numbers != np.round(numbers)) | (abs(numbers) >= WHOLE_NUMBERS))
    some = numbers[rest]
    power = np.floor(np.log10(abs(some))) - (DIGITS - 1)
    blurred = numbers.copy()
    blurred[rest] = np.round(some / 10.0**power) * 10.0**power
    return pd.Series(blurred)


def _inputs(frame: pd.DataFrame, card: ModelCard) -> pd.DataFrame:
    if card.treatment is None:
        return design(frame, card)
    return frame[[*card.names, *(control.name for control in card.treatment.controls), card.treatment.column]]


def trained_rows(work: Work, folder: Path, card: ModelCard) -> Rows | None:
    """The rows stored with a model, else those of its dataset; None where neither is there any more."""
    if (file := folder / ROWS_FILE).is_file():
        return Rows.read(file)
    try:
        return rows_of(labelled(resolve(work, card.dataset).frame(), card.target)[0], card)
    except ToolFailure:
        return None


def training_frame(work: Work, card: ModelCard) -> pd.DataFrame | None:
    """The labelled rows that a model was trained on, if their dataset is still there."""
    try:
        source = resolve(work, card.dataset)
        return labelled(source.frame(list(source.require([card.target, *card.names]))), card.target)[0]
    except ToolFailure:
        return None


@dataclass(frozen=True)
class Overlap:
    """How many of `rows` were trained on, have the features of a row that was, or are of a group that was.

    `rounded` are those that were trained on with other last digits. `kinds` are the distinct rows of features in
    training, of `trained` rows. `by_nature` says that rows of this kind are the same by chance as often.
    """

    rows: int
    same: int
    rounded: int
    alike: int
    of_group: int
    kinds: int
    trained: int
    by_nature: bool = False

    @property
    def known(self) -> int:
        return self.same + self.rounded

    @property
    def by_chance(self) -> bool:
        """Whether training has so few kinds of rows that others may be the same without being copies."""
        return self.kinds < KINDS_OF_ROWS * self.trained

    def notes(self, group: str) -> list[str]:
        found: list[str] = []
        if self.same and not self.by_nature:
            why = f", maybe by chance: training has {self.kinds} distinct rows of features" if self.by_chance else ""
            found.append(f"{self.same} of {self.rows} rows were trained on: no estimate for new data{why}")
        if self.rounded:
            found.append(
                f"{self.rounded} of {self.rows} rows were trained on but for their last digits, as copies are that "
                "were rounded or saved as 32-bit floats: no estimate for new data"
            )
        if (other := self.alike - self.same) and not self.by_nature:
            found.append(f"{other} of {self.rows} rows have the features of a training row, with another target")
        if self.of_group:
            found.append(
                f"{self.of_group} of {self.rows} rows are of a {group} that was trained on: "
                f"split_dataset(group={group!r}) keeps each in one part"
            )
        return found


def shared(trained: Rows, frame: pd.DataFrame, card: ModelCard, group: str) -> Overlap:
    """What labelled rows share with those that were trained on, also by groups where they have that column."""
    return overlap(trained, rows_of(frame, card), frame[group] if group in frame.columns else None)


def overlap(trained: Rows, others: Rows, groups: pd.Series | None = None) -> Overlap:
    """Args: `groups` is the group of each of the other rows."""
    import numpy as np

    of_group = 0
    if groups is not None and len(trained.groups):
        known = groups.dropna()
        of_group = int(np.isin(row_hashes(known.to_frame()), trained.groups).sum())
    same = np.isin(others.whole, trained.whole)
    alike = int(np.isin(others.features, trained.features).sum())
    return Overlap(
        rows=len(others.whole),
        same=int(same.sum()),
        rounded=_rounded(trained, others, same),
        alike=alike,
        of_group=of_group,
        kinds=len(np.unique(trained.features)),
        trained=len(trained.features),
        by_nature=trained.coarse and _as_often_within(trained.features, alike, len(others.whole)),
    )


def copies(trained: Rows, others: Rows) -> np.ndarray:
    """Which rows were trained on, those with other last digits included.

    Where most rows are copies that were rounded all are: some digits were cut where two numbers part.
    """
    import numpy as np

    same = np.isin(others.whole, trained.whole)
    if not _rounded(trained, others, same):
        return same
    known = same | np.isin(others.near, trained.near)
    return np.ones_like(known) if known.mean() > MOST else known


def _rounded(trained: Rows, others: Rows, same: np.ndarray) -> int:
    """Rows like training rows in their first digits alone, if they are more than training rows are like each other."""
    import numpy as np
    from scipy.stats import binom

    found = int((np.isin(others.near, trained.near) & ~same).sum())
    if not found:
        return 0
    pairs = np.unique(np.column_stack([trained.near, trained.whole]), axis=0)[:, 0]
    near, kinds = np.unique(pairs, return_counts=True)
    share = float(np.isin(trained.near, near[kinds > 1]).mean())
    share = max(share, 1 / len(trained.near))
    return found if binom.sf(found - 1, len(others.near), share) < BY_CHANCE else 0


def _as_often_within(features: np.ndarray, alike: int, rows: int) -> bool:
    """Whether few rows are like training rows, and no more than training rows are like each other."""
    import numpy as np
    from scipy.stats import binom

    if not alike or alike > FEW_BY_NATURE * rows:
        return False
    numbers = np.unique(features, return_inverse=True, return_counts=True)
    share = max(float((numbers[2][numbers[1]] > 1).mean()), 1 / len(features))
    return bool(binom.sf(alike - 1, rows, share) > LIKELY)
