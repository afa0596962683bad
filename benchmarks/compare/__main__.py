"""Print the table: `python -m benchmarks.compare [word of a row …]`."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .case import Case, Outcome

PLUMBING = {"__main__", "case", "features"}


def cases() -> Iterator[Case]:
    """Every module of this folder has its `CASES`."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name not in PLUMBING:
            yield from importlib.import_module(f".{module.name}", __package__).CASES


def row(case: Case, outcome: Outcome) -> tuple[str, ...]:
    beside = f"{outcome.beside_s:.3g} s" if outcome.beside_s is not None else "-"
    ratio = f"{outcome.beside_s / outcome.ours_s:.2f} x" if outcome.beside_s is not None else "-"
    equal = {True: "equal", False: "DIFFERS", None: "-"}[outcome.equal]
    return (
        case.name,
        case.task,
        f"{outcome.ours_s:.3g} s",
        f"{case.beside}: {beside}",
        ratio,
        equal,
        case.limit,
        outcome.note,
    )


def main(words: list[str]) -> int:
    table = Table("row", "task", "ours", "beside it", "beside / ours", "answers", "bound", "note")
    differs = False
    for case in cases():
        if words and not any(word in case.name for word in words):
            continue
        with tempfile.TemporaryDirectory() as folder:
            outcome = case.run(Path(folder))
        differs |= outcome.equal is False
        table.add_row(*row(case, outcome))
        print("\t".join(row(case, outcome)), file=sys.stderr, flush=True)
    Console(width=200).print(table)
    return int(differs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
