"""The rules of the house, read from the source: who may import whom, and how a file looks."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

from mlops_mcp.tools.slices import SHARED, SLICES, declared

ROOT = Path(__file__).parent.parent
PACKAGES = ("config", "examples", "prompts", "resources", "server", "tools")
MAX_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_TOOL_BODY_LINES = 8

FLOORS = {
    "config": 1,
    **{
        f"tools.{name}": 1
        for name in ("slices", "errors", "legible", "user_files", "locks", "detached", "logtail", "storage")
    },
    **{f"tools.{name}": 1 for name in ("paging", "numbers", "urls", "estimates", "undo", "vocabulary")},
    **{f"tools.{name}": 1 for name in ("pictures", "platforms", "landlock", "seccomp", "addresses", "distributions")},
    "tools.tracing": 2,
    "tools.audit": 2,
    **{
        f"tools.{name}": 3
        for name in ("runtime", "replica", "handles", "lineage", "decisions", "removal", "spec", "schemas", "wire")
    },
    **{f"tools.{name}": declared(name).floor for name in (*SHARED, *SLICES)},
    **dict.fromkeys(("tools.catalog", "tools.profiles", "prompts", "resources", "examples"), 6),
    "server": 7,
}
SLICE_FOLDERS = (*SLICES, *SHARED)
ANY = "*"
MAY_KNOW_MCP = ("tools", "spec", "wire", "catalog")

HEAVY = frozenset(
    (
        "anthropic", "bentoml", "catboost",
        "dask", "distributed", "duckdb", "econml", "feast", "great_expectations", "ibis",
        "lightgbm", "matplotlib", "mlflow", "numpy", "onnx", "onnxruntime", "opik", "optuna", "pandas", "pyarrow",
        "ray", "scipy", "shap", "sklearn", "skops", "sqlalchemy", "torch", "xgboost", "PIL",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Import:
    """One imported module; ours are written from the root, e.g. `tools.data.store`."""

    target: str
    line: int
    relative: bool
    lazy: bool
    typing_only: bool


@dataclass(frozen=True)
class Module:
    """A source file; `name` is its dotted path below the root."""

    path: str
    source: str

    @property
    def name(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def parts(self) -> list[str]:
        return self.name.split(".")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def imports(self) -> list[Import]:
        return list(_imports(self.tree.body, self, lazy=False, typing_only=False))


def _imports(body: Iterable[ast.AST], module: Module, lazy: bool, typing_only: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, False, lazy, typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for target in _targets(node, module):
                yield Import(target, node.lineno, node.level > 0, lazy, typing_only)
        else:
            inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            guarded = typing_only or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
            yield from _imports(ast.iter_child_nodes(node), module, inside, guarded)


def _targets(node: ast.ImportFrom, module: Module) -> list[str]:
    if not node.level:
        return [node.module or ""]
    package = module.path.split("/")[: -node.level]
    base = ".".join([*package, *([node.module] if node.module else [])])
    return [full if _is_module(full := f"{base}.{alias.name}") else base for alias in node.names]


@cache
def _is_module(dotted: str) -> bool:
    path = ROOT / dotted.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


@cache
def sources() -> list[Module]:
    files = (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py")))
    return [Module(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in files]


def unit(name: str) -> str:
    """What stands on a floor: a slice, a shared module of `tools`, or a whole folder.

    What a slice declares about itself stands with `tools.slices`, which reads it.
    """
    parts = name.split(".")
    if len(parts) == 3 and parts[0] == "tools" and parts[2] == "slice":
        return "tools.slices"
    return ".".join(parts[:2]) if parts[0] == "tools" and len(parts) > 1 else parts[0]


def slice_of(name: str) -> str:
    parts = name.split(".")
    return parts[1] if parts[0] == "tools" and len(parts) > 1 and parts[1] in SLICE_FOLDERS else ""


# Rules: each takes a module and yields what is wrong with it.


def absolute_imports_of_ours(module: Module) -> Iterator[str]:
    for item in module.imports:
        top = item.target.split(".")[0]
        if not item.relative and (top == "mlops_mcp" or top in PACKAGES):
            yield f"{module.path}:{item.line} imports {item.target} absolutely"


def upward_imports(module: Module) -> Iterator[str]:
    here = FLOORS.get(unit(module.name))
    if here is None and module.name != "tools":
        yield f"{module.path} stands on no floor: add {unit(module.name)} to FLOORS"
        return
    for item in module.imports:
        there = FLOORS.get(unit(item.target)) if item.relative else None
        if there is not None and here is not None and there > here:
            yield f"{module.path}:{item.line} (floor {here}) imports {item.target} (floor {there})"


def imports_of_other_slices(module: Module) -> Iterator[str]:
    mine = slice_of(module.name)
    for item in module.imports if mine else ():
        theirs = slice_of(item.target) if item.relative else ""
        if theirs and theirs != mine:
            allowed = _opened(theirs, mine)
            if ANY not in allowed and item.target.split(".")[2:3] not in [[name] for name in allowed]:
                yield f"{module.path}:{item.line} reaches into another slice: {item.target}"


def _opened(theirs: str, mine: str) -> tuple[str, ...]:
    """What a slice opens, to those above it and to what is shared on its own floor."""
    above = FLOORS[f"tools.{mine}"] > FLOORS[f"tools.{theirs}"] or mine in SHARED
    return declared(theirs).opens if above else ()


def wrong_order_inside_a_slice(module: Module) -> Iterator[str]:
    mine = slice_of(module.name)
    for item in module.imports if mine else ():
        if item.relative and slice_of(item.target) == mine:
            if item.target.endswith((".tools", ".slice")):
                yield f"{module.path}:{item.line} imports {item.target}, which only the tree reads"
            elif module.name.endswith(".models"):
                yield f"{module.path}:{item.line} models.py stands below {item.target}"


def mcp_outside_its_files(module: Module) -> Iterator[str]:
    if module.parts[0] == "tools" and module.parts[-1] not in MAY_KNOW_MCP:
        for item in module.imports:
            if item.target.split(".")[0] == "mcp":
                yield f"{module.path}:{item.line} imports {item.target}"


def heavy_imports_at_the_top(module: Module) -> Iterator[str]:
    for item in module.imports:
        if item.target.split(".")[0] in HEAVY and not item.lazy and not item.typing_only:
            yield f"{module.path}:{item.line} imports {item.target} at module level"


def eager_imports_of_examples(module: Module) -> Iterator[str]:
    for item in module.imports:
        if module.parts[0] == "server" and unit(item.target) == "examples" and not item.lazy and not item.typing_only:
            yield f"{module.path}:{item.line} imports {item.target} before it is needed"


def too_long_files(module: Module) -> Iterator[str]:
    if (lines := module.source.count("\n")) > MAX_LINES:
        yield f"{module.path} has {lines} lines"


def too_long_functions(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{module.path}:{node.lineno} {node.name} has {lines} lines"


def too_long_tools(module: Module) -> Iterator[str]:
    if not (slice_of(module.name) and module.parts[-1] == "tools"):
        return
    for node in module.tree.body:
        if isinstance(node, ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body and (lines := (body[-1].end_lineno or 0) - body[0].lineno + 1) > MAX_TOOL_BODY_LINES:
                yield f"{module.path}:{node.lineno} the body of {node.name} has {lines} lines"


def code_in_package_files(module: Module) -> Iterator[str]:
    if module.path.endswith("__init__.py"):
        if ast.get_docstring(module.tree) is None:
            yield f"{module.path} says nothing about its folder"
        if len(module.tree.body) > 1:
            yield f"{module.path} holds more than a docstring"


# Where whatever was raised is kept from what it must not end: the answer of a process, the end of a server, its loops.
EDGES = ("tools/runtime/outcome.py", "server/services.py", "server/background.py")


def broad_excepts(module: Module) -> Iterator[str]:
    if module.path in EDGES:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and not _reraises(node) and _is_broad(node.type):
            yield f"{module.path}:{node.lineno} catches everything"
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("suppress")
            and any(map(_is_broad, node.args))
        ):
            yield f"{module.path}:{node.lineno} suppresses everything"


def _is_broad(caught: ast.expr | None) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(
        name is None or (isinstance(name, ast.Name) and name.id in ("Exception", "BaseException")) for name in names
    )


def _reraises(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def drawings_elsewhere(module: Module) -> Iterator[str]:
    """One place draws and encodes: it keeps pictures small, and names from being read as formulas."""
    for item in module.imports:
        draws = item.target.split(".")[0] in ("matplotlib", "PIL") and not item.typing_only
        if draws and module.path != "tools/pictures.py":
            yield f"{module.path}:{item.line} draws by itself"


Rule = Callable[[Module], Iterator[str]]


def broken(rule: Rule) -> list[str]:
    return [problem for module in sources() for problem in rule(module)]


def test_our_modules_import_each_other_relatively() -> None:
    assert broken(absolute_imports_of_ours) == []


def test_every_import_goes_down_or_stays_on_its_floor() -> None:
    assert broken(upward_imports) == []


def test_a_slice_imports_from_another_only_what_that_one_opens() -> None:
    assert broken(imports_of_other_slices) == []


def test_inside_a_slice_models_stand_below_the_client_and_tools_above() -> None:
    assert broken(wrong_order_inside_a_slice) == []


def test_below_tools_only_four_kinds_of_file_know_mcp() -> None:
    assert broken(mcp_outside_its_files) == []


def test_no_module_imports_a_heavy_library_when_it_is_imported() -> None:
    assert broken(heavy_imports_at_the_top) == []


def test_the_server_imports_examples_only_when_the_demo_runs() -> None:
    assert broken(eager_imports_of_examples) == []


def test_one_module_draws_for_all() -> None:
    assert broken(drawings_elsewhere) == []


def test_no_file_is_longer_than_400_lines() -> None:
    tests = [Module(file.relative_to(ROOT).as_posix(), file.read_text()) for file in (ROOT / "tests").rglob("*.py")]
    assert broken(too_long_files) + [problem for module in tests for problem in too_long_files(module)] == []


def test_no_function_is_longer_than_50_lines() -> None:
    assert broken(too_long_functions) == []


def test_no_tool_body_is_longer_than_8_lines() -> None:
    assert broken(too_long_tools) == []


def test_package_files_hold_a_docstring_and_nothing_else() -> None:
    assert broken(code_in_package_files) == []


def test_below_the_server_only_the_edge_of_a_process_catches_everything() -> None:
    assert broken(broad_excepts) == []


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (absolute_imports_of_ours, "tools/data/client.py", "from mlops_mcp.tools.errors import unknown"),
        (absolute_imports_of_ours, "server/app.py", "import tools.errors"),
        (upward_imports, "tools/errors.py", "from .runtime.work import Work"),
        (upward_imports, "config/load.py", "def f():\n    from ..server import app"),
        (upward_imports, "tools/novelty/client.py", "import json"),
        (upward_imports, "tools/data/client.py", "from ..catalog import load"),
        (imports_of_other_slices, "tools/tuning/client.py", "from ..training.client import train"),
        (imports_of_other_slices, "tools/tuning/client.py", "from ..data import tools"),
        (imports_of_other_slices, "tools/data/client.py", "from ..tracking.client import runs"),
        (imports_of_other_slices, "tools/modeling/frame.py", "from ..data.profile import profile"),
        (wrong_order_inside_a_slice, "tools/data/client.py", "from .tools import TOOLSET"),
        (wrong_order_inside_a_slice, "tools/data/models.py", "from . import client"),
        (mcp_outside_its_files, "tools/data/client.py", "def f():\n    from mcp.types import Tool"),
        (heavy_imports_at_the_top, "tools/data/client.py", "import pandas as pd"),
        (heavy_imports_at_the_top, "tools/data/client.py", "try:\n    from numpy import array\nexcept ImportError: 0"),
        (eager_imports_of_examples, "server/cli.py", "from ..examples.credit_risk import demo"),
        (drawings_elsewhere, "tools/explain/kept.py", "def f():\n    import matplotlib.pyplot as plt"),
        (drawings_elsewhere, "tools/tracking/artifacts.py", "def f():\n    from PIL import Image"),
        (too_long_files, "tools/long.py", "x = 1\n" * 401),
        (too_long_functions, "tools/long.py", "def f():\n" + "    x = 1\n" * 50),
        (too_long_tools, "tools/data/tools.py", "async def f():\n    '''Doc.'''\n" + "    x = 1\n" * 9),
        (code_in_package_files, "tools/data/__init__.py", "'''Doc.'''\nimport json"),
        (code_in_package_files, "tools/data/__init__.py", ""),
        (broad_excepts, "tools/data/client.py", "try: f()\nexcept Exception: pass"),
        (broad_excepts, "tools/data/client.py", "try: f()\nexcept (ValueError, BaseException) as e: print(e)"),
        (broad_excepts, "tools/data/client.py", "try: f()\nexcept: raise KeyError()"),
        (broad_excepts, "server/host.py", "try: f()\nexcept Exception: pass"),
        (broad_excepts, "tools/data/client.py", "with contextlib.suppress(Exception): f()"),
    ],
)
def test_each_rule_catches_what_it_forbids(rule: Rule, path: str, source: str) -> None:
    assert list(rule(Module(path, source)))


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (heavy_imports_at_the_top, "tools/data/client.py", "if TYPE_CHECKING:\n    import pandas as pd"),
        (heavy_imports_at_the_top, "tools/data/client.py", "def f():\n    import pandas as pd"),
        (imports_of_other_slices, "tools/tuning/client.py", "from ..modeling.frame import matrix"),
        (imports_of_other_slices, "tools/tuning/client.py", "from ..data import store"),
        (drawings_elsewhere, "tools/pictures.py", "def f():\n    from PIL import Image"),
        (drawings_elsewhere, "tools/explain/kept.py", "if TYPE_CHECKING:\n    from matplotlib.figure import Figure"),
        (broad_excepts, "tools/data/client.py", "try: f()\nexcept BaseException:\n    g()\n    raise"),
    ],
)
def test_each_rule_lets_pass_what_is_allowed(rule: Rule, path: str, source: str) -> None:
    assert list(rule(Module(path, source))) == []


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph = {
        module.name: {
            item.target for item in module.imports if item.relative and not item.lazy and not item.typing_only
        }
        for module in sources()
    }
    while leaves := {name for name, targets in graph.items() if not targets & graph.keys()}:
        graph = {name: targets for name, targets in graph.items() if name not in leaves}
    assert sorted(graph) == []
