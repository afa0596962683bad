"""Compare two datasets: schema, columns, the whole by a classifier, and the rows that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import unknown
from ..estimates import Estimate, Verdict
from ..runtime.work import Work
from .bounds import few, named
from .drift import LEVEL, Tested, judged, tested
from .identity import likely_group, row_hashes
from .models import ColumnDrift, CompareRequest, DatasetComparison, SharedRows
from .origin import rows_behind, rows_now
from .pairs import Pair, pair
from .profile import comparable
from .shared import shared_rows, sharing
from .shifts import exactly
from .store import Dataset
from .twosample import TwoSample, told_apart

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

# Of each dataset; beyond, rows are drawn by chance. That many show whatever matters.
TESTED_ROWS = 100_000
SHOWN, SHOWN_NAMES = 8, 12
SMALL_PSI = 0.1
CLASSIFIER = "two-sample classifier"


@dataclass(frozen=True)
class Sides:
    """Two datasets with the columns that both have and that are compared."""

    reference: Dataset
    current: Dataset
    columns: list[str]
    tables: tuple[pa.Table, pa.Table]

    @property
    def rows(self) -> tuple[int, int]:
        return self.tables[0].num_rows, self.tables[1].num_rows

    def plain(self) -> list[str]:
        """The columns whose values can be compared for being equal."""
        types = [{field.name: field.type for field in table.schema} for table in self.tables]
        return [name for name in self.columns if comparable(types[0][name]) and comparable(types[1][name])]


def compare_datasets(work: Work, request: CompareRequest) -> DatasetComparison:
    """Whether the current rows are from the same population as those of the reference, and where they are not.

    A model as the reference stands for its training data, and so does an endpoint; as the current it is its log.

    Raises:
        ToolFailure: an unknown dataset, model or column.
    """
    reference, model = rows_behind(work, request.reference)
    current = rows_now(work, request.current)
    sides = _sides(reference, current, request)
    work.progress(1, 4, f"reading {sum(sides.rows)} rows")
    drawn = [_drawn(table) for table in sides.tables]
    names = [name for name in sides.columns if name != request.key]
    with work.tracer.span("test columns", columns=len(names)):
        found = [tested(pair(name, *(table.column(name) for table in drawn)), 1) for name in names]
    work.progress(2, 4, "looking for shared rows")
    with work.tracer.span("shared rows"):
        shared, units = _shared(sides, drawn, request)
    work.progress(3, 4, "telling the datasets apart")
    with work.tracer.span("two-sample classifier"):
        apart = _told_apart(drawn, [item.pair for item in found], units, _identical(sides, shared))
    changed = _changed(sides, request.key)
    return _answer(sides, request, model, found, apart, shared, changed)


def _sides(reference: Dataset, current: Dataset, request: CompareRequest) -> Sides:
    both = [name for name in reference.info.columns if name in set(current.info.columns)]
    either = [*reference.info.columns, *current.info.columns]
    for name in (*request.columns, request.target):
        if name and name not in either:
            raise unknown("column", name, either)
    if request.key and request.key not in both:
        raise unknown("key", request.key, both, "A key is a column of both.")
    wanted = {*request.columns, request.target, request.key} if request.columns else set(both)
    columns = [name for name in both if name in wanted]
    return Sides(reference, current, columns, (reference.table(columns), current.table(columns)))


def _drawn(table: pa.Table) -> pa.Table:
    """The rows that are tested."""
    import numpy as np

    if table.num_rows <= TESTED_ROWS:
        return table
    return table.take(np.sort(np.random.default_rng(0).permutation(table.num_rows)[:TESTED_ROWS]))


def _shared(sides: Sides, drawn: Sequence[pa.Table], request: CompareRequest) -> tuple[SharedRows | None, np.ndarray]:
    """What is shared, and numbers of the distinct rows that are tested."""
    import numpy as np
    import pandas as pd

    plain = sides.plain()
    if not plain or not all(sides.rows):
        return None, np.arange(sum(table.num_rows for table in drawn))
    frames = [_frame(table, plain) for table in sides.tables]
    shared = shared_rows(frames[0], frames[1], request.target, request.key if request.key in plain else "")
    hashes = np.concatenate([row_hashes(_frame(table, plain)) for table in drawn])
    return shared, pd.factorize(hashes)[0]


def _frame(table: pa.Table, columns: Sequence[str]) -> pd.DataFrame:
    """As pandas, with all times in one unit, so that equal ones are equal."""
    import pyarrow as pa

    part = table.select(list(columns))
    for place, field in enumerate(part.schema):
        if pa.types.is_timestamp(field.type):
            zone = field.type.tz
            part = part.set_column(place, field.name, part.column(place).cast(pa.timestamp("us", zone), safe=False))
    return part.to_pandas()


def _identical(sides: Sides, shared: SharedRows | None) -> bool:
    one, two = sides.rows
    return shared is not None and one == two == shared.rows


def _told_apart(drawn: Sequence[pa.Table], pairs: Sequence[Pair], units: np.ndarray, identical: bool) -> TwoSample:
    if identical:
        return TwoSample(None, reason="every current row is in the reference")
    return told_apart(drawn[0].to_pandas(), drawn[1].to_pandas(), pairs, units, 0)


def _changed(sides: Sides, key: str) -> dict[str, tuple[int, str | None]]:
    """Of the rows whose key stands once in each: how many values differ, and by what rule if by one."""
    import numpy as np
    import pandas as pd

    if not key or key not in sides.plain():
        return {}
    one, two = (
        _frame(table, sides.plain()).dropna(subset=[key]).drop_duplicates(key, keep=False) for table in sides.tables
    )
    hashes = [row_hashes(frame[[key]]) for frame in (one, two)]
    _, first, second = np.intersect1d(hashes[0], hashes[1], return_indices=True)
    one, two = one.iloc[first], two.iloc[second]
    found = dict[str, tuple[int, str | None]]()
    for name in one.columns.drop(key) if len(one) else ():
        pair_of = (one[name], two[name])
        differs = row_hashes(pair_of[0].to_frame()) != row_hashes(pair_of[1].to_frame())
        rule, known = None, np.zeros((0, 2))
        if differs.any() and all(pd.api.types.is_numeric_dtype(side) for side in pair_of):
            values = np.column_stack([side.to_numpy(dtype=float, na_value=np.nan) for side in pair_of])
            known = values[np.isfinite(values).all(axis=1)]
            rule = exactly(known[:, 0], known[:, 1])
        found[name] = (int(differs.sum()), f"{rule}, in each of {len(known)} shared keys" if rule else None)
    return found


def _answer(
    sides: Sides,
    request: CompareRequest,
    model: str,
    found: Sequence[Tested],
    apart: TwoSample,
    shared: SharedRows | None,
    changed: dict[str, tuple[int, str | None]],
) -> DatasetComparison:
    columns, of_classifier, tests = _corrected(found, apart, changed)
    drifted = sum(column.verdict == "drifted" for column in columns)
    ordered = sorted(columns, key=_most_drifted)
    verdict = _verdict(columns, of_classifier, _identical(sides, shared))
    reference, current = sides.reference.info, sides.current.info
    return DatasetComparison(
        reference=sides.reference.handle,
        current=sides.current.handle,
        rows=sides.rows,
        verdict=verdict,
        drifted=drifted,
        compared=len(columns),
        columns=ordered[:SHOWN],
        added=few([name for name in current.columns if name not in reference.columns], SHOWN_NAMES),
        lost=few([name for name in reference.columns if name not in current.columns], SHOWN_NAMES),
        retyped=_retyped(sides),
        two_sample=_estimate(apart, of_classifier),
        shared=shared,
        method=f"{tests} tests at {LEVEL:.0%}, corrected together (Benjamini-Hochberg)" if tests else "no test",
        notes=[*_origin(model, sides), *_notes(sides, ordered, of_classifier), *_on_shared(sides, shared)],
    )


def _corrected(
    found: Sequence[Tested], apart: TwoSample, changed: dict[str, tuple[int, str | None]]
) -> tuple[list[ColumnDrift], float | None, int]:
    """The columns and the classifier by their p values corrected together, and how many tests there were."""
    from scipy.stats import false_discovery_control

    raw = {(place, name): p for place, item in enumerate(found) for name, p in item.p_values.items()}
    if apart.p_value is not None:
        raw[-1, CLASSIFIER] = apart.p_value
    corrected = dict(zip(raw, map(float, false_discovery_control(list(raw.values()))), strict=True)) if raw else {}
    columns = list[ColumnDrift]()
    for place, item in enumerate(found):
        own = {name: corrected[place, name] for name in item.p_values}
        count, rule = changed.get(item.pair.name, (None, None))
        column = judged(item, own, count)
        columns.append(column.model_copy(update={"change": rule}) if rule else column)
    return columns, corrected.get((-1, CLASSIFIER)), len(raw)


def _most_drifted(column: ColumnDrift) -> tuple[int, float, float]:
    place = {"drifted": 0, "not_evaluated": 2, "same": 3}.get(column.verdict, 1)
    return place, -(column.distance or 0), column.p if column.p is not None else 1


def _verdict(columns: Sequence[ColumnDrift], of_classifier: float | None, identical: bool) -> Verdict:
    verdicts = {column.verdict for column in columns}
    if identical:
        return "same"
    if "drifted" in verdicts or (of_classifier is not None and of_classifier <= LEVEL):
        return "drifted"
    return "not_shown" if "not_shown" in verdicts else "same" if verdicts == {"same"} else "not_evaluated"


def _estimate(apart: TwoSample, corrected: float | None) -> Estimate:
    if apart.area is None:
        return Estimate(value=None, n=0, verdict="not_evaluated", reason=apart.reason)
    return Estimate(
        value=apart.area,
        interval=apart.interval,
        method="AUC on rows not fitted yet, 95 % logit-DeLong",
        baseline=0.5,
        n=apart.rows,
        positives=apart.current,
        verdict="drifted" if corrected is not None and corrected <= LEVEL else "not_shown",
        reason=None if apart.interval else "the scores show no spread",
    )


def _retyped(sides: Sides) -> dict[str, str]:
    types = [{field.name: str(field.type)[: SHOWN_NAMES * 3] for field in table.schema} for table in sides.tables]
    found = {
        name: f"{types[0][name]} -> {types[1][name]}"
        for name in sides.columns
        if len({types[0][name], types[1][name], "null"}) > 2
    }
    return {name: found[name] for name in few(list(found), SHOWN_NAMES)}


def _origin(model: str, sides: Sides) -> list[str]:
    return [f"{sides.reference.handle} is the training data of {model}"] if model else []


def _notes(sides: Sides, columns: Sequence[ColumnDrift], of_classifier: float | None) -> list[str]:
    drifted = [column for column in columns if column.verdict == "drifted"]
    hidden = [column.column for column in drifted[SHOWN:]]
    # PSI is of the values that are there: it says nothing of a share that is missing.
    values = [column for column in drifted if column.test != "missing"]
    small = [column.column for column in values if column.psi is not None and column.psi < SMALL_PSI]
    only_whole = of_classifier is not None and of_classifier <= LEVEL and not drifted
    drawn = [name for name, rows in zip(("reference", "current"), sides.rows, strict=True) if rows > TESTED_ROWS]
    said = {
        "the datasets share no column: nothing is compared": not sides.columns,
        f"drifted as well: {named(hidden)}; name them in `columns`": hidden,
        f"drifted by little (PSI below {SMALL_PSI}): {named(small)}": small,
        "no column drifted alone, but columns differ in how they go together": only_whole,
        f"tested on {TESTED_ROWS} rows drawn by chance of the {' and the '.join(drawn)}": drawn,
    }
    return [*(text for text, applies in said.items() if applies), *_renamed(sides), *_grouped(sides)]


def _renamed(sides: Sides) -> list[str]:
    """Columns of the one that are those of the other but for case and marks."""
    lost = {_letters(name): name for name in sides.reference.info.columns if name not in sides.columns}
    added = {_letters(name): name for name in sides.current.info.columns if name not in sides.columns}
    same = [
        f"{lost[letters]} / {added[letters]}" for letters in lost if added.get(letters, lost[letters]) != lost[letters]
    ]
    return [f"maybe one column under two names: {named(same)}"] if same else []


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum()) or name


def _grouped(sides: Sides) -> list[str]:
    plain = sides.plain()
    if not plain or not sides.rows[0]:
        return []
    group = likely_group(_frame(sides.tables[0].slice(0, TESTED_ROWS // 5), plain))
    return (
        [f"rows of one {group} belong together: the tests take rows for independent, so p is too small"]
        if group
        else []
    )


def _on_shared(sides: Sides, shared: SharedRows | None) -> list[str]:
    if shared is None or _identical(sides, shared):
        return []
    return sharing(shared, sides.rows[1], "the current", "the reference")
