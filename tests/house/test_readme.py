from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.house.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_has_two_commands_and_ten_lines_of_use() -> None:
    commands, use = (re.findall(r"^[a-z].*$", one, re.MULTILINE) for one in blocks())
    assert [one.split()[0] for one in commands] == ["dev/demo", "dev/test"]
    assert len(use) == 10


def test_readme_is_at_most_400_words() -> None:
    assert len(README.split()) <= 400


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "guides").glob("*.md")), ids=lambda page: page.stem)
def test_guide_is_at_most_1500_words(page: Path) -> None:
    assert len(page.read_text(encoding="utf-8").split()) <= 1500


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
