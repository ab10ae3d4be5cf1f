from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from taskbound.surfaces.cli.errors import tell
from taskbound.surfaces.cli.pages import find_page, with_pages
from taskbound.surfaces.cli.screen import Screen
from taskbound.wire.connection import Fault
from tests.house.tree import ROOT

NAME = "docs/reference/settings.md"
PAGE = re.compile(r"docs/[a-z/-]+\.md")


@pytest.mark.parametrize("place", ["src/taskbound", "."])
def test_a_page_is_found_in_a_wheel_and_in_the_source_tree(tmp_path: Path, place: str) -> None:
    package = tmp_path / "src" / "taskbound"
    page = tmp_path / place / NAME
    package.mkdir(parents=True)
    assert find_page(NAME, package) == NAME, "a page that is nowhere keeps its name"
    page.parent.mkdir(parents=True)
    page.touch()
    assert find_page(NAME, package) == str(page)


def test_what_to_do_names_a_page_by_a_path_that_is_there() -> None:
    err = io.StringIO()
    tell(Screen(json=False, err=err), Fault(code="bad-setting", message="x", advice=f"see {NAME}"))
    path = err.getvalue().rpartition("see ")[2].strip()
    assert Path(path).is_absolute()
    assert Path(path).is_file()


def test_every_page_that_the_program_names_is_there_and_is_said_by_its_path() -> None:
    found = {
        name
        for path in (ROOT / "src" / "taskbound").rglob("*.py")
        for name in PAGE.findall(path.read_text(encoding="utf-8"))
    }
    assert NAME in found
    for name in found:
        assert with_pages(name) == str(ROOT / name), f"{name} is no page that a wheel brings"
