from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from tests.peers.racing import KINDS, race_rounds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.ports.store import Store
    from tests.postgres import Server

ROUNDS = 2
"""Of each kind over each store: 11,520 tries to use 80 approvals, half of them of what was narrowed to.

`dev/soak --only approvals` does more.
"""


@pytest.fixture(params=["sqlite", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two handles of one database, as two daemons have them."""
    if request.param == "postgres":
        server: Server = request.getfixturevalue("server")
        name = server.database()
        shared: tuple[Store, Store] = (PostgresStore(server.url(name)), PostgresStore(server.url(name)))
        yield shared
        for each in shared:
            each.close()
        server.drop(name)
        return
    pair: tuple[Store, Store] = (
        SqlStore(tmp_path / "race.db", reserve=0),
        SqlStore(tmp_path / "race.db", reserve=0),
    )
    yield pair
    for one in pair:
        one.close()


@pytest.mark.parametrize("less", [False, True], ids=["approved", "narrowed"])
@pytest.mark.parametrize("what", KINDS)
def test_i29_of_all_that_would_use_an_approval_one_does_or_none_and_none_after_it_ended(
    what: str, stores: tuple[Store, Store], *, less: bool
) -> None:
    used = race_rounds(what, stores, ROUNDS, less=less)
    assert used == ROUNDS if what == "nothing" else used <= ROUNDS
