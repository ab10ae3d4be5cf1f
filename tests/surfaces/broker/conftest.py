from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.peers.minter import minting
from tests.sqlite import sqlite_store
from tests.surfaces.broker.brokering import Brokering

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.peers.minter import Orders


@pytest.fixture(scope="package")
def database() -> Iterator[Orders]:
    with minting() as found:
        yield found


@pytest.fixture
def broker() -> Brokering:
    return Brokering(sqlite_store())
