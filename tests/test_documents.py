"""What the documents say is there: links, commands, settings, modules; examples run, and tables are current."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from pydantic import BaseModel

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.cli import command_line
from mlops_mcp.server.settings_table import entries, tables, with_settings

ROOT = Path(__file__).parent.parent
DEFAULTS = (ROOT / "config" / "mlops.yaml").read_text(encoding="utf-8")
# In the order in which their examples run.
PAGES = (
    "README.md",
    "CLAUDE.md",
    "CHANGELOG.md",
    "docs/operations.md",
    "docs/agent-tasks.md",
    "docs/architecture.md",
    "docs/configuration.md",
    "docs/security.md",
    "docs/traces.md",
    "examples/credit_risk/README.md",
    "examples/deploy/README.md",
    "examples/job_training/README.md",
    "examples/new_customers/README.md",
)
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
FENCE = re.compile(r"^(?:<!-- (?P<mark>\w+) -->\n)?```(?P<kind>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<to>[^)\s]+)\)")
INLINE = re.compile(r"`([^`]+)`")


def prose(text: str) -> str:
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """As they are made of headings where Markdown is shown on the web."""
    titles = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead(page: str, text: str) -> Iterator[str]:
    for to in LINK.findall(INLINE.sub("``", prose(text))):
        parts = urlsplit(to)
        if parts.scheme or parts.netloc:
            if parts.scheme != "https" or "." not in parts.netloc:
                yield to
            continue
        file = (ROOT / page).parent / unquote(parts.path) if parts.path else ROOT / page
        if not file.exists() or (parts.fragment and parts.fragment not in anchors(file.read_text(encoding="utf-8"))):
            yield to


def commands(text: str) -> Iterator[str]:
    """Whole commands of ours, in examples and within sentences."""
    for fence in FENCE.finditer(text):
        if fence["kind"] in ("", "sh", "bash"):
            yield from (line for line in fence["code"].splitlines() if line.startswith("mlops-mcp "))
    for code in INLINE.findall(prose(text)):
        words = " ".join(code.split())
        if words.startswith("mlops-mcp ") and words[10] != "…":
            yield words


def refused(command: str) -> str:
    said = subprocess.list2cmdline(shlex.split(command, comments=True)[1:])
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), contextlib.redirect_stdout(nowhere):
            command_line().parse_args(shlex.split(command, comments=True)[1:])
    except SystemExit as end:
        return said if end.code else ""
    return ""


def names(model: type[BaseModel] = Settings, above: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from names(inner, f"{above}{name}.")
        else:
            yield above + name


SETTINGS = {*names()}
SECTIONS = {name.partition(".")[0] for name in SETTINGS if "." in name}
# Tags of MLflow's own.
TAGS = {"mlflow.user"}


def unknown_settings(text: str) -> set[str]:
    said = {match for code in INLINE.findall(prose(text)) for match in re.findall(r"^([a-z_]+\.[a-z_]+)(?::|$)", code)}
    kinds = {".py", ".md", ".json", ".yaml", ".csv", ".db", ".jsonl", ".log", ".tar"}
    return {
        each
        for each in said
        if each.split(".")[0] in SECTIONS and f".{each.split('.')[1]}" not in kinds and each not in SETTINGS | TAGS
    }


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert [*dead(page, TEXTS[page])] == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_the_options_and_words_that_the_program_takes(page: str) -> None:
    assert [said for said in map(refused, commands(TEXTS[page])) if said] == []


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_are_named_exist(page: str) -> None:
    assert unknown_settings(TEXTS[page]) == set()


@pytest.mark.parametrize("page", PAGES)
def test_modules_and_targets_that_are_to_be_run_exist(page: str) -> None:
    modules = re.findall(r"python -m (mlops_mcp|benchmarks)\.?([\w.]*)", TEXTS[page])
    for top, name in modules:
        folder = (ROOT if top == "mlops_mcp" else ROOT / top).joinpath(*filter(None, name.rstrip(".").split(".")))
        assert folder.is_dir() or folder.with_suffix(".py").is_file(), name
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z]+)", TEXTS[page]):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_page_is_looked_at() -> None:
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")]
    assert sorted(file.relative_to(ROOT).as_posix() for file in found) == sorted(PAGES)


def test_a_dead_link_a_wrong_command_and_an_unknown_setting_are_found() -> None:
    assert [*dead("README.md", "[a](none.md) [b](#none) [c](http://x.org) [d](CLAUDE.md#map) [e](docs)")] == [
        "none.md",
        "#none",
        "http://x.org",
    ]
    text = "`mlops-mcp doctor --none` and\n```sh\nmlops-mcp status --once\nmlops-mcp nothing\n```\n"
    assert [said for said in map(refused, commands(text)) if said] == ["nothing", "doctor --none"]
    assert unknown_settings("`runtime.none` `runtime.wait_s: 10` `runtime.py`") == {"runtime.none"}


def test_the_table_of_settings_is_current_and_whole() -> None:
    page = TEXTS["docs/configuration.md"]
    assert with_settings(page, DEFAULTS) == page, "run `make contract`"
    assert sorted(entry.name for entry in entries(DEFAULTS)) == sorted(SETTINGS)


def test_a_comment_over_several_lines_and_a_nested_default_are_one_row() -> None:
    text = 'a:\n  b: {}      # one | two\n{0}# three\n  c:           # waits\n    d: 3.5\n    "e*": 4\nf: ""\n'
    rows = [line for line in tables(text.replace("{0}", " " * 30)) if line.startswith("| `")]
    assert rows == [
        "| `a.b` | empty | one \\| two three |",
        '| `a.c` | `{"d": 3.5, "e*": 4}` | waits |',
        "| `f` | empty |  |",
    ]


@pytest.mark.slow
def test_examples_that_are_marked_to_be_run_run_one_after_the_other_in_an_empty_folder(tmp_path: Path) -> None:
    scripts = [fence["code"] for page in PAGES for fence in FENCE.finditer(TEXTS[page]) if fence["mark"] == "run"]
    assert len(scripts) >= 2
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "MLOPS_HOME": str(tmp_path / "state"),
    }
    said = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input="\n".join(scripts),
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stdout + said.stderr
