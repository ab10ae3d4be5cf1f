from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from taskbound.surfaces.api.peer import ancestry_of, is_alive

if TYPE_CHECKING:
    from pathlib import Path


def tell(proc: Path, pid: int, parent: int, started: int, *, name: str = "sh") -> None:
    fields = " ".join(["0"] * 17)
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "stat").write_text(f"{pid} ({name}) S {parent} {fields} {started} 0 0\n", encoding="ascii")


def test_the_ancestry_goes_up_to_the_first_process(tmp_path: Path) -> None:
    tell(tmp_path, 30, 20, 300)
    tell(tmp_path, 20, 1, 200)
    assert ancestry_of(30, proc=tmp_path) == ((30, 300), (20, 200))
    assert ancestry_of(os.getpid())[1][0] == os.getppid()


def test_a_name_that_looks_like_fields_does_not_move_them(tmp_path: Path) -> None:
    tell(tmp_path, 30, 20, 300, name="x) S 1 (y) S 7")
    tell(tmp_path, 20, 1, 200)
    assert ancestry_of(30, proc=tmp_path) == ((30, 300), (20, 200))


def test_a_parent_that_is_gone_hides_nobody_who_stands_above_it(tmp_path: Path) -> None:
    tell(tmp_path, 30, 20, 300)
    assert ancestry_of(30, proc=tmp_path) == ()


def test_a_parent_whose_number_went_to_a_younger_process_is_not_believed(tmp_path: Path) -> None:
    tell(tmp_path, 30, 20, 300)
    tell(tmp_path, 20, 1, 301)
    assert ancestry_of(30, proc=tmp_path) == ()


@pytest.mark.parametrize(("count", "known"), [(256, 256), (257, 0)])
def test_a_line_of_processes_too_long_to_be_walked_is_known_not_at_all(
    tmp_path: Path, count: int, known: int
) -> None:
    for number in range(count):
        tell(tmp_path, 10 + number, 9 + number if number else 1, 100 + number)
    assert len(ancestry_of(9 + count, proc=tmp_path)) == known


def test_a_process_is_alive_only_under_its_own_start_time_and_while_it_can_do_something(
    tmp_path: Path,
) -> None:
    tell(tmp_path, 30, 20, 300)
    assert is_alive(30, 300, proc=tmp_path)
    assert not is_alive(30, 301, proc=tmp_path)
    assert not is_alive(31, 300, proc=tmp_path)
    (tmp_path / "30" / "stat").write_text("30 (sh) Z 20" + " 0" * 17 + " 300 0\n", encoding="ascii")
    assert not is_alive(30, 300, proc=tmp_path)
