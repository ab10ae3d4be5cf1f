from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sqlite import sqlite_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.ports.store import Store
    from tests.postgres import Server


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "postgres":
        server: Server = request.getfixturevalue("server")
        with server.store() as shared:
            yield shared
        return
    yield sqlite_store()
