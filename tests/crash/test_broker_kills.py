from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from tests.crash.grounds import GROUNDS
from tests.crash.minting import Minting, minting_at
from tests.crash.points import POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_CI = {
    "github": ("k16", "k7-after"),
    "oauth": ("k14", "k7-after"),
    "openbao": ("k7-after", "k8-engine-server", "k15-engine-database", "k16"),
    "postgres": ("k9-daemon", "k11", "k13-daemon", "k19"),
    "openssh": ("k8", "k14-host-before", "k16", "k18-host"),
    "redis": ("k7-after", "k14", "k17-server", "k19-daemon"),
    "sts": ("k7-after", "k9-daemon", "k14", "k16"),
}
"""The others of the database are in `tests/wiring/test_broker.py`; all are `dev/soak --only credentials`.
A Valkey has those of a Redis; of the tokens of the first two, the second point loses one."""


@pytest.fixture(scope="module", params=IN_CI)
def here(request: pytest.FixtureRequest) -> Iterator[tuple[str, Minting]]:
    with (
        TemporaryDirectory(prefix="tb-") as folder,
        minting_at(Path(folder), GROUNDS[request.param]) as found,
    ):
        yield request.param, found


@pytest.mark.timeout(180)
def test_i01_i02_whatever_is_killed_on_the_way_nothing_is_left_that_nobody_knows(
    here: tuple[str, Minting],
) -> None:
    kind, there = here
    points = {one.name: one for one in POINTS[kind]}
    for name in IN_CI[kind]:
        there.strike(points[name])
    there.end_task()
    there.require_over()
    assert len(there.rows()) == len(IN_CI[kind]) + 1 + len(there.ground.beside)
