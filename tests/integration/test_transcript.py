"""The README's transcript, played anew by a client: the call and the answer stand there as they are."""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from .conftest import LOANS, ROOT, Call

pytestmark = pytest.mark.slow

# What is made anew each time.
IDENTITY = re.compile(r"[0-9a-f]{32}")


def transcript() -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The tool, its arguments, and the answer."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## One transcript")[2].partition("\n## ")[0]
    asked, answered = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    call = ast.parse(asked.strip(), mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    given = {each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg}
    return call.func.id, given, json.loads(answered)


def told(found: Any, shown: Any) -> Any:
    """Of an answer what is shown of it; identities are all alike."""
    if isinstance(shown, dict):
        return {name: told(found[name], value) for name, value in shown.items()}
    if isinstance(shown, list):
        return [told(each, each) for each in found]
    return IDENTITY.sub("0" * 32, found) if isinstance(found, str) else found


async def test_the_transcript_of_the_readme_is_what_a_client_is_answered(call: Call, tmp_path: Path) -> None:
    tool, given, shown = transcript()
    shutil.copy(LOANS, tmp_path / given["dataset"])
    found = await call(tool, **given | {"dataset": str(tmp_path / given["dataset"])})
    expected = told(shown, shown)
    answer = told(found, shown)
    for scores in ("train", "cross_validated"):  # the last digits are the machine's
        assert answer.pop(scores) == pytest.approx(expected.pop(scores), abs=2e-3)
    assert answer == expected
