"""A policy that cannot be used, or has a rule that can never apply, ends the start."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server, shapes
from mlops_mcp.server.policy.document import EFFECTS, Document, Rule, document

from ...conftest import ROOT

SHAPES = shapes(())
MISTAKES = {
    "": "it is no|is no policy",
    "default: perhaps": "default",
    "deny: []": "default: Field required",
    "default: allow\ndeny: delete": "deny",
    "default: allow\nrules: []": "rules: Extra inputs",
    "default: allow\ndefault: deny": "twice",
    "default: allow\ndeny: [{tools: dellete}]": "deny rule 1: unknown tool 'dellete'. Did you mean delete",
    "default: allow\ndeny: [{tools: [delete, nothing*]}]": r"unknown tool 'nothing\*'",
    "default: allow\ndeny: [{tools: ['*', '!dellete']}]": "unknown tool 'dellete'",
    "default: allow\ndeny: [{tools: [delete, '!delete']}]": "leave none",
    "default: allow\ndeny: [{tools: '@deploy'}]": "deny rule 1: unknown operation '@deploy'. Did you mean @deploys",
    "default: allow\ndeny: [{tools: ['@deploys', '!@deploys']}]": "leave none",
    "default: allow\ndeny: [{tools: '@registers', arguments: {bento: a}}]": "unknown argument of",
    "default: allow\ndeny: [{tools: []}]": "tools",
    "default: allow\ndeny: [{arguments: {dry_run: false}}]": "tools: Field required",
    "default: allow\nconfirm: [{tools: delete}, {tools: delete, arguments: {dryrun: false}}]":
        "confirm rule 2: unknown argument of delete 'dryrun'. Did you mean dry_run",
    "default: allow\ndeny: [{tools: [delete, get_job], arguments: {dry_run: false}}]": "argument of get_job",
    "default: allow\ndeny: [{tools: delete, arguments: {dry_run: 'false'}}]": "dry_run can never be 'false'",
    "default: allow\ndeny: [{tools: delete, arguments: {dry_run: []}}]": "dry_run",
    "default: allow\ndeny: [{tools: transition_stage, arguments: {stage: Prod}}]":
        "stage can never be 'Prod'. Valid: None, Staging, Production, Archived",
    "default: allow\ndeny: [{tools: transition_stage, arguments: {stage: '!Prod'}}]": "stage can never be 'Prod'",
    "default: allow\ndeny: [{tools: clean_up, arguments: {older_than_days: soon}}]": "older_than_days can never be",
    "default: deny\nallow: [{tools: delete, arguments: {'*': a}}]": "cannot all be one thing",
    "default: allow\ndeny: [{tools: delete, arguments: {'*': ['!a']}}]": "always something else",
    "default: allow\ndeny: [{tools: delete, scopes: [owner]}]": "scopes",
    "default: allow\ndeny: [{tools: delete, caller: ann}]": "caller: Extra inputs",
    "default: allow\ndeny: [{tools: delete, callers: 1}]": "callers",
    "default: allow\ndeny: [{tools: delete, arguments: {handle: {a: b}}}]": "handle",
    "default: allow\ndeny: [{tools: !delete x}]": "cannot read",
    "{": "cannot read",
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES)
def test_a_policy_that_does_not_mean_anything_is_refused_with_its_place(text: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=MISTAKES[text]) as refusal:
        document(file, SHAPES)
    assert str(file) in str(refusal.value)


def test_a_policy_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(
        "default: deny\n"
        "deny: [{tools: '*', arguments: {dry_run: false}, callers: '!root', why: ask root}]\n"
        "confirm: [{tools: [transition_stage, promote_model], scopes: admin}]\n"
        "allow: [{tools: [get_*, list_*]}, {tools: load_dataset, arguments: {path: /data/*, options.sheet: null}}]\n"
    )
    found = document(file, SHAPES)
    assert found.deny == (Rule(tools=("*",), arguments={"dry_run": (False,)}, callers=("!root",), why="ask root"),)
    assert found.allow[1].arguments == {"path": ("/data/*",), "options.sheet": (None,)}
    assert isinstance(found, Document)


def test_a_server_does_not_start_without_the_policy_that_it_was_given(settings: Settings, tmp_path: Path) -> None:
    def start(path: Path) -> None:
        create_server(settings.model_copy(update={"server": settings.server.model_copy(update={"policy": str(path)})}))

    pipe, folder, words = tmp_path / "pipe", tmp_path / "folder", tmp_path / "words"
    os.mkfifo(pipe)
    folder.mkdir()
    words.write_bytes(b"default: \xff")
    for path in (tmp_path / "none.yaml", pipe, folder, words):
        with pytest.raises(SettingsError, match="cannot read"):
            start(path)


def test_the_policy_that_the_readme_shows_is_one(tmp_path: Path) -> None:
    [shown] = re.findall(r"```yaml\n(default: .+?)```", (ROOT / "docs" / "security.md").read_text(), re.DOTALL)
    file = tmp_path / "policy.yaml"
    file.write_text(shown)
    assert {len(document(file, SHAPES).rules(effect)) for effect in EFFECTS} == {3, 2, 0}
