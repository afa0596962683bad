"""A state folder with something of everything, made by the clients that tools use, and names that mean harm."""

from __future__ import annotations

import json
import math
import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from mlops_mcp.tools.data.client import generate_dataset
from mlops_mcp.tools.data.models import DatasetInfo
from mlops_mcp.tools.data.store import datasets
from mlops_mcp.tools.decisions import Decisions, Entry
from mlops_mcp.tools.estimates import Estimate
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.registry.models import Comparison as Compared
from mlops_mcp.tools.registry.models import Gate, GateName, Judged, StageChange
from mlops_mcp.tools.registry.versions import HISTORY, JUDGED
from mlops_mcp.tools.runtime.jobs.launch import table_of
from mlops_mcp.tools.runtime.jobs.table import End, NewJob
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import endpoints
from mlops_mcp.tools.serving.models import Deployment, EndpointFile
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracing.store.writer import TraceStore
from mlops_mcp.tools.tracking.backend import place_store
from mlops_mcp.tools.tuning.storage import open_storage

SCRIPT = "<script>document.title='owned'</script>"
HOSTILE = (
    SCRIPT, '"><img src=x onerror=alert(1)>', "a\x1b[31mred\x1b]0;t\x07", "\u202egnp.exe", "\u05e9\u05dc\u05d5\u05dd",
    "x" * 10_000,
)  # fmt: skip
RUN = f"{0:032x}"
# MLflow has no model whose name has a slash or a colon.
MODELS = ("credit", *(re.sub("[/:]", "", each[:250]) for each in HOSTILE))
GATES: tuple[GateName, ...] = ("load", "comparison")
PLACE, MADE = "/nowhere", "2026-01-02T03:04:05+00:00"


def filled(work: Work, runs: int, listed: int) -> str:
    """Fill an empty folder with so many runs and datasets; returns the handle of the dataset that has rows."""
    tracked(work, runs)
    described(work, listed)
    made = generate_dataset(work, "e2i_classification", 200, 0, "loans").dataset
    lineage = Lineage(work.home)
    lineage.record(made, ["file:loans.csv"], "load_dataset")
    lineage.record(f"run:{RUN}", [made], "train_model")
    lineage.record("model:credit/1", [f"run:{RUN}"], "register_model")
    lineage.record("bento:credit:1", ["model:credit/1"], "package_model")
    lineage.record("endpoint:credit", ["bento:credit:1"], "deploy_model")
    lineage.record(f"dataset:{SCRIPT}", [made], "query_dataset")
    lineage.mark_deleted([f"dataset:{SCRIPT}"])
    studied(work)
    decided(work)
    traced(work)
    queued(work)
    dead = Deployment(id="a", bento="bento:credit:1", model="model:credit/1", pid=2**22 + 1, port=9,
                      started="2026-01-01T00:00:00+00:00", replicas=1, percent=100, ready=True)  # fmt: skip
    endpoints.write(work, EndpointFile(endpoint="credit", deployments=[dead]))
    return made


def tracked(work: Work, runs: int) -> None:
    """Runs in MLflow's own tables; the first ones have names that mean harm."""
    store = work.home / "mlflow.db"
    place_store(store)
    with closing(sqlite3.connect(store)) as database, database:
        database.execute(f"insert into experiments values (1, 'credit', '{PLACE}', 'active', 1, 1, 'default')")
        # MLflow makes it when it opens a store that has none.
        database.execute(f"insert into experiments values (0, 'Default', '{PLACE}/0', 'active', 1, 1, 'default')")
        for table, rows in _tables(runs).items():
            first = next(rows)
            statement = f"insert into {table} ({', '.join(first)}) values ({', '.join('?' * len(first))})"
            database.execute(statement, tuple(first.values()))
            database.executemany(statement, (tuple(row.values()) for row in rows))
    registered(store)


def registered(store: Path) -> None:
    """Models in MLflow's own tables: one in Production, judged and decided about, and names that mean harm."""
    gates = [Gate(gate=name, verdict="passed", evidence=f"as it must, {SCRIPT}") for name in GATES]
    gain = Estimate(value=0.02, interval=(0.01, 0.03), method="95 %", n=400, verdict="better")
    against = Compared(against="model:credit/1", metric="auc", candidate_score=0.8, against_score=0.78, gain=gain)
    judged = Judged(at=MADE, who="ann", dataset="dataset:loans@1", against="model:credit/1", verdict="passed",
                    gates=gates, comparison=against)  # fmt: skip
    moves = [StageChange(at=MADE, version=2, from_stage="None", to_stage="Production", by="promote_model", who="ann",
                         replaced=1)]  # fmt: skip
    tags = {JUDGED: judged.model_dump_json(), HISTORY: json.dumps([each.model_dump() for each in moves])}
    with closing(sqlite3.connect(store)) as database, database:
        for number, name in enumerate(MODELS):
            described = ("insert into registered_models(name, creation_time, last_updated_time, description) "
                         "values (?, 1, 1, ?)")  # fmt: skip
            database.execute(described, (name, HOSTILE[number % len(HOSTILE)][:200]))
            for version in (1, 2):
                stage = ("Archived", "Production")[version - 1]
                made = ("insert into model_versions(name, version, creation_time, last_updated_time, description, "
                        "current_stage, source, run_id, status) values (?, ?, 1, 1, ?, ?, ?, ?, 'READY')")  # fmt: skip
                database.execute(made, (name, version, SCRIPT, stage, f"{PLACE}/model", RUN))
        database.execute(
            "insert into registered_model_aliases(alias, version, name) values ('production', 2, 'credit')"
        )
        kept = "insert into model_version_tags(key, value, name, version) values (?, ?, 'credit', 2)"
        database.executemany(kept, tags.items())


def decided(work: Work) -> None:
    for about in ("model:credit/2", f"run:{RUN}"):
        Decisions(work.home).record(
            Entry(f"it goes to Production {SCRIPT}", HOSTILE[-1], (about,), ("XGBoost",), "deployer")
        )


def _tables(runs: int) -> dict[str, Iterator[dict[str, Any]]]:
    chosen = random.Random(0)
    ids = [f"{number:032x}" for number in range(runs)]
    measured = {"timestamp": 1, "step": 0, "is_nan": 0}
    return {
        "runs": (_run(number, run) for number, run in enumerate(ids)),
        "latest_metrics": (
            {"key": key, "value": chosen.random(), "run_uuid": run} | measured for run in ids for key in ("auc", "loss")
        ),
        "params": ({"key": "depth", "value": str(chosen.randint(0, 9)), "run_uuid": run} for run in ids),
        "tags": ({"key": "note", "value": _name(number), "run_uuid": run} for number, run in enumerate(ids)),
    }


def _run(number: int, run: str) -> dict[str, Any]:
    return {
        "run_uuid": run, "name": _name(number), "source_type": "LOCAL", "user_id": "ann", "status": "FINISHED",
        "start_time": 1_700_000_000_000 - number, "end_time": 1_700_000_001_000 - number, "lifecycle_stage": "active",
        "artifact_uri": f"{PLACE}/{run}/artifacts", "experiment_id": 1,
    }  # fmt: skip


def _name(number: int) -> str:
    """MLflow has room for 250 characters of a name."""
    return HOSTILE[number][:250] if number < len(HOSTILE) else f"run {number}"


def described(work: Work, listed: int) -> None:
    datasets(work).mkdir(parents=True)
    for number in range(listed):
        name = f"rows{number}@{number:012x}"
        names = [*HOSTILE, *(f"x{each}" for each in range(20))]
        info = DatasetInfo(
            dataset=f"dataset:{name}", rows=10, columns=names, source=HOSTILE[number % len(HOSTILE)],
            created=f"2026-01-01T00:00:{number % 60:02d}+00:00",
        )  # fmt: skip
        (datasets(work) / f"{name}.json").write_text(info.model_dump_json(), encoding="utf-8")


def studied(work: Work) -> None:
    import optuna

    (work.home / "optuna").mkdir()
    study = optuna.create_study(study_name="search", storage=open_storage(work, "search"), direction="maximize")
    study.set_user_attr("metric", "auc")
    study.set_user_attr("algorithm", "XGBoost")
    study.optimize(lambda trial: 1 - math.pow(trial.suggest_float("rate", 0, 1) - 0.3, 2), n_trials=6)


def traced(work: Work) -> None:
    """A trace with a failed span, hostile texts and many levels, and one that holds a secret's shape."""
    tracer = Tracer((store := TraceStore(work.settings.trace_store, 4096)).put)
    with tracer.span("train_model") as root:
        root.set_output({"said": SCRIPT, "long": HOSTILE[-1]})
        with tracer.span(HOSTILE[0]) as inner:
            inner.log_tokens(10, 5)
        for name in HOSTILE[1:]:
            with tracer.span(name) as failed:
                failed.fail(f"no column {SCRIPT}")
        _deep(tracer, 90)
    for number in range(30):
        with tracer.span(f"call {number}"):
            pass
    store.close()


def _deep(tracer: Tracer, levels: int) -> None:
    if levels:
        with tracer.span(f"level {levels}"):
            _deep(tracer, levels - 1)


def queued(work: Work) -> None:
    table = table_of(work.settings)
    for number in range(30):
        request = json.dumps({"dataset": f"dataset:{SCRIPT}", "number": number})
        new = NewJob("train_model", "", "x:y", request, 1, "", "", None, "{}", "/", "/home", "{}")
        table.insert(new)
    row = table.recent(1)[0]
    with table.backend.open() as db:
        db.execute("update jobs set state='running', attempt=1 where id=?", (row.id,))
    table.finish(row.id, 1, End("failed", error=f"no column {SCRIPT}"))
