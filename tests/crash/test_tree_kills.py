from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.crash.tree import KINDS, POINTS, TreeKill, kill_in_tree, require_whole_trees

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", KINDS)
def test_law_3_a_kill_at_any_point_of_a_change_of_a_tree_leaves_all_of_it_or_nothing(
    tmp_path: Path, kind: str
) -> None:
    path, lives = tmp_path / "t.db", 0
    for point in POINTS:
        for times in (1, 2):
            lives += 1
            told = kill_in_tree(path, lives, TreeKill(kind=kind, point=point, times=times))
            assert told.kind == kind
            assert told.kinds.count(kind) == times - 1
            after = require_whole_trees(path)
            assert (after != told.before) is (point == "after-commit"), (point, times)


@pytest.mark.parametrize("kind", KINDS)
def test_law_3_a_kill_in_the_midst_of_a_statement_of_it_leaves_all_of_it_or_nothing(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "t.db"
    for number, steps in enumerate((1, 60, 400, 900, 1600, 2500)):
        kill_in_tree(path, number, TreeKill(kind=kind, steps=steps))
        require_whole_trees(path)
