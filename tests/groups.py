"""Which tests run in the same process, and in which order, when there are several processes (`pytest -n 2`)."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Modules that share something expensive of the session: one PostgreSQL server, one Dask cluster.
TOGETHER = {
    "tests/tools/data/test_postgres_source.py": "cluster",
    "tests/tools/runtime/test_outcomes.py": "cluster",
    "tests/tools/runtime/test_servers.py": "cluster",
    "tests/tools/runtime/test_table.py": "cluster",
}
# The groups that take longest, longest first; every other module is a group of its own.
LONGEST = (
    "cluster",
    "tests/tools/causal/test_effect_models.py",
    "tests/tools/serving/test_serving.py",
    "tests/tools/causal/test_simulations.py",
    "tests/integration/test_demo.py",
    "tests/integration/test_degradation.py",
    "tests/integration/test_missing_libraries.py",
    "tests/integration/test_long_work.py",
    "tests/tools/runtime/test_preload.py",
    "tests/tools/tuning/test_tuning.py",
    "tests/tools/tracking/test_tracking.py",
    "tests/integration/test_operations.py",
    "tests/tools/causal/test_causal.py",
    "tests/tools/causal/test_questions.py",
    "tests/tools/training/test_traps.py",
    "tests/tools/training/test_training.py",
    "tests/opik/test_shipper.py",
    "tests/tools/runtime/test_jobs.py",
    "tests/tools/explain/test_effects.py",
    "tests/tools/tuning/test_effect_tuning.py",
    "tests/conformance/test_conformance.py",
    "tests/opik/test_destinations.py",
    "tests/tools/explain/test_answers.py",
    "tests/server/test_transports.py",
    "tests/test_distribution.py",
    "tests/server/test_tasks.py",
    "tests/tools/serving/test_over_mcp.py",
    "tests/contract/test_unknown_names.py",
    "tests/tools/tuning/test_relaunch.py",
    "tests/tools/registry/test_registry.py",
    "tests/integration/test_agent_trace.py",
    "tests/integration/test_full_pipeline.py",
)


class Groups(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out a group at a time."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def group(nodeid: str) -> str:
    module = nodeid.partition("::")[0]
    return TOGETHER.get(module, module)


def turn(nodeid: str) -> int:
    """The place in the order of a test; those of the same place keep theirs."""
    found = group(nodeid)
    return LONGEST.index(found) if found in LONGEST else len(LONGEST)
