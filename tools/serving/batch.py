"""A whole dataset through a model, in parts that fit into memory however many rows there are."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..data.pieces import batches_of, opened_parquet, stepped
from ..data.store import Dataset, resolve, save_parts
from ..errors import ToolFailure
from ..handles import slug
from ..modeling.card import ModelCard, digest
from ..modeling.effects import treatment_of
from ..modeling.frame import design
from ..modeling.inputs import Surprises
from ..modeling.pipelines import scores
from ..modeling.store import StoredModel, find_model, load_effect_model, load_pipeline
from ..paging import Page, offset_of
from ..runtime.dispatcher import answered
from ..runtime.pool import Pool, spread
from ..runtime.work import Work
from ..undo import deletes
from . import endpoints
from .bentos import find_bento
from .models import BatchRequest, Predicted, Row

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

PART_ROWS = 50_000
ENDPOINT = "endpoint:"
SHOWN_CLASSES = 20
SHOWN_DIGITS = 12
Answer = Callable[["pd.DataFrame"], "np.ndarray"]


@dataclass
class Answers:
    """What a model says of rows, as columns by name, and what it has said so far.

    `names` are columns of the dataset, beside which each of ours needs a name of its own.
    """

    card: ModelCard
    answer: Answer
    names: list[str]
    surprises: Surprises
    counts: dict[str, int] = field(default_factory=dict)
    total: float = 0.0
    bounds: tuple[float, float] = (float("inf"), float("-inf"))

    @property
    def columns(self) -> list[str]:
        """`prediction` and a probability for each class, or the effect of each arm."""
        card = self.card
        if card.task == "effect":
            treatment = treatment_of(card)
            plain = [f"effect_{arm}" for arm in treatment.levels[1:]] if treatment.several else ["effect"]
        else:
            plain = ["prediction", *(f"probability_{label}" for label in card.classes)]
        places = range(1, len(self.names) + 2)
        return next(
            named
            for place in places
            if not {*(named := plain if place == 1 else [f"{name}_{place}" for name in plain])} & {*self.names}
        )

    def of(self, frame: pd.DataFrame, found: np.ndarray | None) -> dict[str, pa.Array]:
        """The columns of ours for some rows, of which the model may have `found` already what it says."""
        import numpy as np
        import pyarrow as pa

        inputs = design(frame, self.card)
        self.surprises.count(inputs)
        found = self.answer(inputs) if found is None else found
        if not self.card.classes:
            self._note_numbers(found)
            parts = [found] if found.ndim == 1 else list(found.T)
            return dict(zip(self.columns, (pa.array(np.ascontiguousarray(part)) for part in parts), strict=True))
        chosen = found.argmax(axis=1)
        for place, count in enumerate(np.bincount(chosen, minlength=len(self.card.classes)).tolist()):
            label = str(self.card.classes[place])
            self.counts[label] = self.counts.get(label, 0) + count
        labels = pa.array(self.card.classes).take(pa.array(chosen))
        return dict(zip(self.columns, [labels, *(pa.array(part) for part in found.T.copy())], strict=True))

    def _note_numbers(self, found: np.ndarray) -> None:
        if found.ndim == 1 and len(found):
            self.total += float(found.sum())
            self.bounds = (min(self.bounds[0], float(found.min())), max(self.bounds[1], float(found.max())))


def predict_dataset(work: Work, request: BatchRequest) -> Predicted:
    """Store what a model says of every row, in the order of the rows, beside some or all of their columns.

    An endpoint stands for the model that it serves: the rows do not go through it.
    """
    model, notes = _model(work, request.model)
    source = resolve(work, request.dataset)
    kept = list(source.require(request.columns if request.columns is not None else source.info.columns))
    answers = Answers(model.card, _answer(work, model), kept, Surprises(model.card))
    if not source.info.rows:
        raise ToolFailure(f"{source.handle} has no rows", "Pass a dataset that has.")
    parents = [source.handle, model.uri, *([request.model] if request.model.startswith(ENDPOINT) else [])]
    name = request.name or slug(f"{source.name[:40]}_predictions")
    _require_columns(source, answers)
    parts = -(-source.info.rows // PART_ROWS)
    with work.tracer.span("predict", model=model.handle, rows=source.info.rows), spread(work, parts) as pool:
        blocks = _blocks(work, source, answers, pool, notes)
        made = save_parts(work, _parts(blocks, answers), name, parents, "predict_dataset")
    numbers = not answers.counts and answers.bounds[0] <= answers.bounds[1]
    likeliest = sorted(answers.counts.items(), key=lambda entry: -entry[1])[:SHOWN_CLASSES]
    return Predicted(
        dataset=made.handle,
        model=model.handle,
        rows=made.info.rows,
        columns=answers.columns,
        counts=dict(likeliest),
        mean=answers.total / made.info.rows if numbers else None,
        low=answers.bounds[0] if numbers else None,
        high=answers.bounds[1] if numbers else None,
        notes=[*notes, *answers.surprises.notes()],
        undo=deletes(*new) if (new := [each.handle for each in (made, source) if each.new]) else None,
    )


def block_of(work: Work, endpoint: str, dataset: str, limit: int, cursor: str) -> Page[Row]:
    """Some rows of a dataset, in their order, as an endpoint takes them."""
    state = endpoints.read(work, endpoint)
    source = resolve(work, dataset)
    start = offset_of(cursor)
    if start >= source.info.rows:
        raise ToolFailure(f"{source.handle} has {source.info.rows} rows, and {start} of them are passed", "Stop here.")
    serving = max((each for each in state.deployments if each.ready), key=lambda each: each.percent, default=None)
    if serving is None:
        raise ToolFailure(f"endpoint:{state.endpoint} serves nothing", "deploy_model gives it a bento.")
    spec = find_bento(work, serving.bento).spec
    card = ModelCard(dataset="", rows=0, **spec.model_dump(include={"algorithm", "task", "target", "features", "seen"}))
    names = [name for name in card.names if name in source.info.columns]
    inputs = design(_rows(source, names, start, limit), card)
    rows: list[Row] = [
        {str(name): None if value != value else value for name, value in row.items()}
        for row in inputs.to_dict("records")
    ]
    end = start + len(rows)
    return Page(items=rows, total=source.info.rows, next_cursor=str(end) if end < source.info.rows else None)


def _rows(source: Dataset, names: list[str], start: int, count: int) -> pd.DataFrame:
    """Only the groups of rows are read that these lie in."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(source.path) as file:
        ends = list(accumulate(file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)))
        wanted = [
            place for place, end in enumerate(ends) if end > start and (ends[place - 1] if place else 0) < start + count
        ]
        first = ends[wanted[0] - 1] if wanted[0] else 0
        return file.read_row_groups(wanted, columns=names).slice(start - first, count).to_pandas()


def _model(work: Work, text: str) -> tuple[StoredModel, list[str]]:
    """The model of that name, or the one that an endpoint serves and a note on which that is."""
    if not text.startswith(ENDPOINT):
        return find_model(work, text, effects=True), []
    state = endpoints.read(work, text)
    bentos = [find_bento(work, each.bento) for each in state.deployments if each.ready and each.percent]
    served = {bento.spec.sha256: bento for bento in bentos}
    if len(served) != 1:
        models = ", ".join(dict.fromkeys(bento.spec.model_handle for bento in bentos)) or "none"
        raise ToolFailure(f"{text} serves {len(served)} models: {models}", "Pass one of them as `model`.")
    bento = next(iter(served.values()))
    model = find_model(work, bento.spec.model_uri)
    if digest(model.file) != bento.spec.sha256:
        raise ToolFailure(f"{model.uri} is not the model that {text} serves any more", "Pass the model to use.")
    return model, [
        f"the rows went through the model that {text} serves, not through the endpoint: {bento.spec.model_handle} in "
        f"{bento.handle}, weights sha256 {bento.spec.sha256[:SHOWN_DIGITS]}"
    ]


@dataclass(frozen=True)
class OfPipeline:
    """Probabilities of shape (rows, classes), or numbers of shape (rows,)."""

    pipeline: Pipeline
    card: ModelCard

    def __call__(self, inputs: pd.DataFrame) -> np.ndarray:
        return scores(self.pipeline, inputs, self.card)


def _answer(work: Work, model: StoredModel) -> Answer:
    """What a model says of rows; effects have the shape (rows,), or of several arms (rows, arms)."""
    if model.card.task == "effect":
        return load_effect_model(work, model).effects
    return OfPipeline(load_pipeline(model), model.card)


@dataclass(frozen=True)
class OfRows:
    """What a pool is asked about: what a model says of a dataset's rows from a place on, and how many of them."""

    answer_of: Answer
    card: ModelCard
    source: Dataset

    def get_ready(self) -> None:
        """The model is loaded already."""

    def answer(self, question: tuple[int, int]) -> np.ndarray:
        return self.answer_of(design(_rows(self.source, self.card.names, *question), self.card))


@dataclass(frozen=True)
class Block:
    start: int
    rows: pa.Table


def _require_columns(source: Dataset, answers: Answers) -> None:
    if absent := [name for name in answers.card.names if name not in source.info.columns]:
        raise ToolFailure(
            f"{source.handle} lacks {', '.join(absent[:10])}, which the model needs",
            "Pass rows like those of training.",
        )


def _blocks(
    work: Work, source: Dataset, answers: Answers, pool: Pool | None, notes: list[str]
) -> Generator[tuple[Block, np.ndarray | None]]:
    """The rows, some at a time, and what the model says of them, if a pool has been asked."""
    blocks = blocks_of(work, source, list(dict.fromkeys([*answers.names, *answers.card.names])))
    if pool is None:
        yield from ((block, None) for block in blocks)
    else:
        subject = OfRows(answers.answer, answers.card, source)
        yield from answered(pool, subject, blocks, lambda block: (block.start, block.rows.num_rows), notes)


def blocks_of(work: Work, source: Dataset, names: list[str]) -> Generator[Block]:
    """The rows in their order, of which no more than a group of the file is held at once."""
    import pyarrow as pa

    done, total = 0, source.info.rows
    with opened_parquet(source.path) as file:
        tables = (pa.Table.from_batches([batch]) for batch in batches_of(file, PART_ROWS, names or None))
        for table in stepped(tables, PART_ROWS):
            work.progress(done, total, f"row {done} of {total}")
            yield Block(done, table.combine_chunks())
            done += table.num_rows


def _parts(blocks: Iterable[tuple[Block, np.ndarray | None]], answers: Answers) -> Generator[pa.Table]:
    """The rows as they will be stored, some at a time."""
    import pyarrow as pa

    for block, found in blocks:
        made = answers.of(block.rows.to_pandas(), found)
        columns: Mapping[str, Any] = {name: block.rows.column(name) for name in answers.names} | made
        yield pa.table(dict(columns))
