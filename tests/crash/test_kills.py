from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.crash.kills import kill_at_random, kill_once
from tests.crash.oracle import Acknowledged
from tests.crash.worker import OPENING, POINTS, Kill

if TYPE_CHECKING:
    from pathlib import Path

SOAKED = 100
"""Random kills here; `dev/soak` makes 2,000."""


@pytest.mark.parametrize("point", POINTS)
def test_i46_a_kill_at_any_point_of_a_write_loses_nothing_that_was_acknowledged(
    tmp_path: Path, point: str
) -> None:
    told = Acknowledged()
    for number, times in enumerate((1, 2, 9, 23)):
        kill_once(tmp_path / "t.db", number, Kill(point=point, times=times), told)
    assert told.count >= 1 + 8 + 22


def test_i46_a_kill_at_a_checkpoint_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    told = Acknowledged()
    for number in range(2):
        kill_once(tmp_path / "t.db", number, Kill(point="checkpoint"), told)
    assert told.count > 50


@pytest.mark.parametrize("point", OPENING)
def test_k26_a_kill_while_the_database_is_made_and_again_while_it_is_mended_is_survived(
    tmp_path: Path, point: str
) -> None:
    told = Acknowledged()
    kill_once(tmp_path / "t.db", 1, Kill(point=point), told)
    kill_once(tmp_path / "t.db", 2, Kill(point="prepared"), told)
    kill_once(tmp_path / "t.db", 3, Kill(acknowledged=5), told)
    kill_once(tmp_path / "t.db", 4, Kill(point="looked"), told)
    assert told.count >= 5


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_i46_kills_at_random_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    assert kill_at_random(tmp_path, SOAKED, seed=1) > SOAKED


def test_the_oracle_sees_a_decision_that_was_acknowledged_and_is_gone(tmp_path: Path) -> None:
    told = Acknowledged()
    kill_once(tmp_path / "t.db", 1, Kill(acknowledged=10), told)
    told.take(b"decided act_never=permit")
    with pytest.raises(KeyError):
        kill_once(tmp_path / "t.db", 2, Kill(acknowledged=3), told)


def test_the_oracle_sees_a_database_that_was_made_anew(tmp_path: Path) -> None:
    told = Acknowledged()
    kill_once(tmp_path / "t.db", 1, Kill(acknowledged=10), told)
    for one in tmp_path.iterdir():
        one.unlink()
    with pytest.raises(AssertionError):
        kill_once(tmp_path / "t.db", 2, Kill(acknowledged=3), told)
