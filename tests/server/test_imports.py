"""What a server process has not loaded: the libraries belong to its workers and jobs."""

import subprocess
import sys

HEAVY = frozenset(
    (
        "anthropic", "bentoml", "catboost",
        "dask", "distributed", "duckdb", "econml", "feast", "great_expectations", "ibis",
        "lightgbm", "matplotlib", "mlflow", "numpy", "opik", "optuna", "pandas", "pyarrow", "ray", "scipy", "shap",
        "sklearn", "skops", "sqlalchemy", "torch", "xgboost",
    )
)  # fmt: skip


def _modules_after(program: str) -> set[str]:
    listing = f"import sys\n{program}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_server_that_has_listed_its_tools_has_loaded_no_library(environ: dict[str, str]) -> None:
    program = (
        "import anyio\n"
        "from mlops_mcp.config.load import load\n"
        "from mlops_mcp.config.logs import configure\n"
        "from mlops_mcp.server.app import create_server\n"
        "configure('WARNING', str)\n"
        f"server = create_server(load({environ!r}).settings)\n"
        "assert anyio.run(server.list_tools)\n"
    )
    assert _modules_after(program) & (HEAVY | {"rich"}) == set()


def test_the_command_line_module_loads_nothing_that_its_children_would_pay_for() -> None:
    assert _modules_after("import mlops_mcp.server.cli") & (HEAVY | {"mcp", "pydantic", "yaml"}) == set()


def test_the_process_that_serves_pages_or_writes_a_report_leaves_the_libraries_to_its_workers() -> None:
    program = "import mlops_mcp.server.ui.command, mlops_mcp.server.report.command"
    assert _modules_after(program) & HEAVY == set()


def test_the_processes_of_the_proxy_which_outlive_all_others_are_small() -> None:
    program = "import mlops_mcp.tools.serving.proxy.keeper, mlops_mcp.tools.serving.proxy.relay_process"
    assert _modules_after(program) & (HEAVY | {"mcp", "pydantic", "yaml"}) == set()
