from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from tests.crash.minting import Minting, minting_at
from tests.crash.points import POINTS
from tests.peers.minter import minting
from tests.wiring.running import until

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_CI = ("k9-daemon", "k11", "k13-daemon", "k19")
"""Those of the database are in `tests/wiring/test_broker.py`; all are `dev/soak --only credentials`."""


@pytest.fixture(scope="module")
def here() -> Iterator[Minting]:
    with (
        minting() as orders,
        TemporaryDirectory(prefix="tb-") as folder,
        minting_at(Path(folder), orders) as found,
    ):
        yield found


@pytest.mark.timeout(180)
def test_i01_i02_whatever_is_killed_on_the_way_nothing_is_left_that_nobody_knows(here: Minting) -> None:
    points = {one.name: one for one in POINTS}
    for name in IN_CI:
        here.strike(points[name])
    here.end_task()
    until(here.gone, "all that was minted is gone, and each row says so")
    assert len(here.rows()) == len(IN_CI) + 1
