"""How datasets go: the card first, then the Parquet file unless another name shares it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import unknown
from ..handles import NAME, parse
from ..lineage import LOADED_UNASKED, Lineage
from ..removal import Found, Gone, Leftover, Removal, Remover, erase, written
from ..runtime.work import Work
from .models import DatasetInfo
from .store import card_of, cards, changing, datasets, file_of

# What makes datasets that nobody asked to keep: they are made again with the next answer, or when a path is passed.
UNASKED = {"predict_dataset": "answer", "get_validation": "answer", LOADED_UNASKED: "dataset loaded on the way"}


def find(work: Work, text: str) -> Found:
    """One version, or all versions of a name."""
    wanted = parse(text, "dataset")
    valid = re.fullmatch(NAME[1:-1], wanted.name) and re.fullmatch("[0-9a-f]*", wanted.version)
    chosen = cards(work, wanted.name, wanted.version or "*") if valid else []
    if not chosen:
        raise unknown("dataset", text[:200], (f"dataset:{card.stem}" for card in cards(work)), "list_datasets.")
    return Found(
        handles=tuple(f"dataset:{card.stem}" for card in chosen),
        paths=(*chosen, *_alone(work, chosen)),
        called=(f"dataset:{wanted.name}",),
    )


def remove(work: Work, found: Found) -> None:
    with changing(work):
        chosen = [card for card in (_card(work, each) for each in found.handles) if card.is_file()]
        if not chosen:
            raise Gone(found.handles)
        files = [file_of(work, digest) for digest in _free(work, chosen)]
        erase(work.settings, chosen)
        erase(work.settings, files)


def leftovers(work: Work) -> Iterator[Leftover]:
    """Files without a card, and what nobody asked for and nothing was made from."""
    named = {card.stem.partition("@")[2] for card in cards(work)}
    for file in sorted(datasets(work).glob("[!.]*.parquet")):
        if file.stem not in named:
            yield Leftover("file without a dataset", file.name, (file,), written([file]))
    lineage = Lineage(work.home)
    for card in cards(work):
        handle = DatasetInfo.model_validate_json(card.read_bytes()).dataset
        made_by = {edge.by for edge in lineage.ancestors(handle) if edge.child == handle}
        if made_by and made_by <= UNASKED.keys() and not lineage.descendants(handle, 1):
            yield Leftover(UNASKED[min(made_by)], handle, (card, *_alone(work, [card])), written([card]), handle)


def _card(work: Work, handle: str) -> Path:
    return card_of(work, parse(handle, "dataset"))


def _alone(work: Work, chosen: list[Path]) -> list[Path]:
    """The files that no other card than these names, of those that are here."""
    return [file for digest in _free(work, chosen) if (file := file_of(work, digest)).exists()]


def _free(work: Work, chosen: list[Path]) -> list[str]:
    digests = {card.stem.partition("@")[2] for card in chosen}
    return [digest for digest in sorted(digests) if not {*cards(work, digest=digest)} - {*chosen}]


REMOVAL = Removal(removers={"dataset": Remover(find, remove)}, leftovers=leftovers, guard=changing)
