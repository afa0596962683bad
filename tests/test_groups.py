"""The groups of tests that share a process."""

from pathlib import Path

import pytest

from .groups import LONGEST, TOGETHER, group, turn

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("module", [*TOGETHER, *(each for each in LONGEST if "/" in each)])
def test_a_module_that_is_named_in_a_group_or_in_the_order_exists(module: str) -> None:
    assert (ROOT / module).is_file()


def test_a_module_is_a_group_and_those_that_share_a_database_are_one() -> None:
    assert group("tests/a/test_b.py::test_c[x::y]") == "tests/a/test_b.py"
    assert {group(f"{module}::test_c") for module in TOGETHER} == set(TOGETHER.values())


def test_what_takes_longest_comes_first() -> None:
    cluster = next(module for module, group in TOGETHER.items() if group == LONGEST[0])
    modules = ["tests/a/test_b.py", LONGEST[2], cluster]
    assert sorted(modules, key=turn) == modules[::-1]
