from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from tests.sqlite import sqlite_store
from tests.token_world import TokenWorld
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.ports.store import Store
    from tests.postgres import Server


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "postgres":
        server: Server = request.getfixturevalue("server")
        with server.store() as shared:
            yield shared
        return
    yield sqlite_store(tmp_path / "world.db")


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
    path = tmp_path / "race.db"
    yield sqlite_store(path), sqlite_store(path)


@pytest.fixture
def here(store: Store, tmp_path: Path) -> Iterator[TokenWorld]:
    made = TokenWorld(store, tmp_path)
    yield made
    made.close()


@pytest.fixture
def world(store: Store) -> World:
    return World(store=store)
