"""Which tests run in the same process, and in which order, when there are several processes (`pytest -n 4`)."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Modules that share something expensive of the session: a PostgreSQL server, a Dask cluster, a state folder, endpoints.
TOGETHER = {
    "tests/integration/test_degradation.py": "home",
    "tests/integration/test_missing_libraries.py": "home",
    "tests/integration/test_planted_secrets.py": "home",
    "tests/tools/backends/test_feature_stores.py": "cluster",
    "tests/tools/backends/test_matrix.py": "cluster",
    "tests/tools/backends/test_outages.py": "cluster",
    "tests/tools/data/test_postgres_source.py": "cluster",
    "tests/tools/replica/test_answers.py": "cluster",
    "tests/tools/replica/test_around.py": "cluster",
    "tests/tools/replica/test_decided.py": "cluster",
    "tests/tools/replica/test_steps.py": "cluster",
    "tests/tools/replica/test_two_servers.py": "cluster",
    "tests/tools/runtime/test_cluster_pool.py": "cluster",
    "tests/tools/runtime/test_fan_out.py": "cluster",
    "tests/tools/runtime/test_outcomes.py": "cluster",
    "tests/tools/runtime/test_schema.py": "cluster",
    "tests/tools/runtime/test_servers.py": "cluster",
    "tests/tools/runtime/test_table.py": "cluster",
    "tests/tools/test_deep_databases.py": "cluster",
    "tests/tools/tracking/test_first_opening.py": "cluster",
    "tests/tools/tracking/test_straight.py": "cluster",
    "tests/tools/tuning/test_databases.py": "cluster",
    "tests/tools/registry/test_evidence.py": "shop",
    "tests/tools/registry/test_promotion.py": "shop",
    "tests/tools/registry/test_existing_models.py": "foreign",
    "tests/tools/registry/test_foreign.py": "foreign",
    "tests/tools/registry/test_import.py": "foreign",
    "tests/tools/registry/test_onnx.py": "foreign",
    "tests/tools/registry/test_pyfunc.py": "foreign",
    "tests/tools/serving/test_doors.py": "serving",
    "tests/tools/serving/targets/test_exporting.py": "serving",
    "tests/tools/serving/test_serving.py": "serving",
}
# The groups that take longest, longest first; every other module is a group of its own.
LONGEST = (
    "home",
    "cluster",
    "tests/tools/training/test_traps.py",
    "serving",
    "tests/integration/test_operations.py",
    "tests/tools/serving/proxy/test_relay.py",
    "tests/tools/training/test_training.py",
    "tests/integration/test_agent_tasks.py",
    "tests/integration/test_demo.py",
    "tests/tools/serving/test_interrupted.py",
    "tests/tools/training/test_guards.py",
    "tests/tools/upkeep/test_undo.py",
    "tests/tools/tuning/test_compare.py",
    "tests/tools/explain/test_explain.py",
    "tests/tools/tuning/test_tuning.py",
    "tests/opik/test_shipper.py",
    "tests/tools/serving/proxy/test_keeping.py",
    "tests/tools/tuning/test_effect_tuning.py",
    "tests/integration/test_long_work.py",
    "tests/tools/causal/test_causal.py",
    "tests/tools/causal/test_effect_models.py",
    "tests/tools/causal/test_simulations.py",
    "tests/tools/data/test_comparison.py",
    "tests/contract/test_unknown_names.py",
    "tests/opik/test_destinations.py",
    "tests/server/test_transports.py",
    "tests/server/test_impatient_clients.py",
    "tests/tools/causal/test_questions.py",
    "tests/tools/features/test_history.py",
    "tests/tools/explain/test_effects.py",
    "tests/tools/runtime/test_jobs.py",
    "tests/tools/registry/test_registry.py",
    "tests/tools/runtime/test_preload.py",
    "tests/conformance/test_restart.py",
    "tests/conformance/test_conformance.py",
    "tests/tools/serving/test_over_mcp.py",
    "tests/tools/serving/test_batch.py",
    "tests/server/access/test_matrix.py",
    "tests/tools/tracking/test_tracking.py",
    "tests/server/test_private_files.py",
    "tests/integration/test_full_pipeline.py",
    "tests/integration/test_agent_trace.py",
    "tests/tools/tuning/test_relaunch.py",
    "tests/test_distribution.py",
    "tests/server/test_tasks.py",
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
