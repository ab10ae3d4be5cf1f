"""What always holds of decisions and tokens has a test that says so in its name."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house.tree import ROOT

NUMBERS = [*range(16, 28), *range(38, 46)]
"""Of decisions, and of tokens."""
NUMBER = re.compile(r"_i(\d\d)(?=_)")


@pytest.fixture(scope="module")
def numbered() -> set[int]:
    """The numbers that names of tests carry."""
    found: set[int] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        if NUMBER.search(text):
            names = [one.name for one in ast.walk(ast.parse(text)) if isinstance(one, ast.FunctionDef)]
            own = (NUMBER.findall(one) for one in names if one.startswith("test_"))
            found |= {int(each) for some in own for each in some}
    return found


@pytest.mark.parametrize("number", NUMBERS)
def test_each_invariant_of_decisions_and_of_tokens_is_named_by_a_test(
    numbered: set[int], number: int
) -> None:
    assert number in numbered
