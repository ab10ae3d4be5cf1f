"""What a walk names is there: who reads one goes on in the code."""

from __future__ import annotations

import re
from itertools import product

import pytest

from tests.house.tree import ROOT

WALKS = sorted((ROOT / "docs/walks").glob("*.md"))
CODE = re.compile(r"`((?:core|flows|ports|wire|adapters|surfaces|sdk|wiring)/[a-z0-9_/{},.]+)`")


def spelled(path: str) -> list[str]:
    """A path with `{a,b}` as those that it stands for."""
    parts = [part.split(",") for part in re.split(r"[{}]", path)]
    return ["".join(one) for one in product(*parts)]


@pytest.mark.parametrize("walk", WALKS, ids=lambda one: one.stem)
def test_the_code_that_a_walk_names_is_there(walk: object) -> None:
    text = (ROOT / str(walk)).read_text(encoding="utf-8")
    named = {one for found in CODE.findall(text) for one in spelled(found)}
    assert [one for one in sorted(named) if not (ROOT / "src/taskbound" / one).exists()] == []
