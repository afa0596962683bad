"""Stores of MLflow with runs of every odd kind, filled without MLflow: what its client would refuse may be there."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LARGEST = sys.float_info.max
METRICS = ("auc", "val/auc", "loss", "Auc")
PARAMS = ("depth", "note", "my param")
TAGS = ("team", "mlflow.note.content", "odd key")
TEXTS = ("3", "03", "a", "A", "ä", "Ä", "a%b", "a_b", "team's", 'say "hi"', "a\\b", "", "x" * 300, "東京", "b ", "1e3")
NUMBERS = (0.0, -0.0, 1.0, 1.0, 0.5, -3.25, 0.1 + 0.2, LARGEST, -LARGEST, 5e-324)
CONTEXTS = ("train", "eval", "Train")
RUNS = 60


def filled(uri: str, artifacts: Path) -> list[str]:
    """Fill a migrated store; the ids of its runs. Experiments 1 and 2 are active, 3 is deleted."""
    from sqlalchemy import create_engine, text

    chosen = random.Random(7)
    engine = create_engine(uri)
    ids = [f"{chosen.getrandbits(128):032x}" for _ in range(RUNS)]
    with engine.begin() as connection:
        for table, row in _rows(chosen, ids, artifacts):
            names = ", ".join(row)
            connection.execute(
                text(f"insert into {table} ({names}) values ({', '.join(f':{each}' for each in row)})"), row
            )
    engine.dispose()
    return ids


def _rows(chosen: random.Random, ids: list[str], artifacts: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, stage in enumerate(("active", "active", "deleted"), 1):
        place = {"artifact_location": str(artifacts), "creation_time": number, "last_update_time": number}
        yield "experiments", {"experiment_id": number, "name": f"e{number}", "lifecycle_stage": stage, **place}
    for number in range(6):
        yield "datasets", _dataset(chosen, number)
    for number, run in enumerate(ids):
        yield "runs", _run(chosen, number, run, artifacts)
        yield from _measured(chosen, run)
        for table, keys in (("params", PARAMS), ("tags", (*TAGS, "mlflow.runName"))):
            for key in _some(chosen, keys):
                yield table, {"run_uuid": run, "key": key, "value": chosen.choice(TEXTS)}
        yield from _joined(chosen, number, run)


def _some(chosen: random.Random, keys: tuple[str, ...]) -> list[str]:
    return [key for key in keys if chosen.random() < 0.7]


def _run(chosen: random.Random, number: int, run: str, artifacts: Path) -> dict[str, Any]:
    start = chosen.choice((1_000, 1_000, 2_000, 3_000, 1_700_000_000_000))
    return {
        "run_uuid": run,
        "name": chosen.choice((None, *TEXTS[:6])),
        "source_type": "UNKNOWN",
        "user_id": chosen.choice(("", "ann", "Ann", "bob")),
        "status": chosen.choice(("RUNNING", "FINISHED", "FAILED", "KILLED", "SCHEDULED")),
        "start_time": start,
        "end_time": chosen.choice((None, 5_000, 6_000)),
        "lifecycle_stage": "deleted" if number % 9 == 0 else "active",
        "artifact_uri": chosen.choice((None, f"{artifacts}/{run}", "s3://bucket/A%")),
        "experiment_id": chosen.choice((1, 1, 1, 2, 3)),
    }


def _measured(chosen: random.Random, run: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for key in _some(chosen, METRICS):
        is_nan = chosen.random() < 0.2
        value = 0.0 if is_nan else chosen.choice(NUMBERS)
        row = {"run_uuid": run, "key": key, "value": value, "timestamp": 9, "step": 2, "is_nan": is_nan}
        yield "latest_metrics", row
        yield "metrics", row
        yield "metrics", row | {"step": 1, "timestamp": 9, "value": 0.25, "is_nan": False}


def _dataset(chosen: random.Random, number: int) -> dict[str, Any]:
    name, digest = chosen.choice(("rows", "Rows", "ä")), f"d{number}"
    kept = {"dataset_source_type": "local", "dataset_source": "{}"}
    return {"dataset_uuid": f"u{number}", "experiment_id": 1, "name": name, "digest": digest, **kept}


def _joined(chosen: random.Random, number: int, run: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for place in chosen.sample(range(6), chosen.choice((0, 0, 1, 2))):
        mark = f"i{number}-{place}"
        of = {"source_type": "DATASET", "source_id": f"u{place}", "destination_type": "RUN", "destination_id": run}
        yield "inputs", {"input_uuid": mark, **of}
        yield "input_tags", {"input_uuid": mark, "name": "mlflow.data.context", "value": chosen.choice(CONTEXTS)}
    if number % 5 == 0:
        of = {"source_type": "RUN_OUTPUT", "source_id": run, "destination_type": "MODEL_OUTPUT"}
        yield "inputs", {"input_uuid": f"o{number}", "destination_id": f"m-{number}", **of}
