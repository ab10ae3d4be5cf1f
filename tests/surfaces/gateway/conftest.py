"""The event loop of the tests in this folder, and what several of them are set up with.

`modern`, `server` and `client` are defaults: a test parametrized by one of these names replaces it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.peers.commands import echo
from tests.surfaces.gateway.asks import LEGACY, between
from tests.surfaces.gateway.bench import bench
from tests.surfaces.gateway.errands import coming_back
from tests.surfaces.gateway.http.fronting import near
from tests.surfaces.gateway.shelves import Shelves

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.surfaces.gateway.asks import Asking
    from tests.surfaces.gateway.bench import Bench
    from tests.surfaces.gateway.errands import Back
    from tests.surfaces.gateway.http.fronting import Near


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def shelves(tmp_path: Path) -> Shelves:
    return Shelves(tmp_path)


@pytest.fixture
async def b(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path, echo(era="legacy")) as made:
        yield made


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Near]:
    async with near(tmp_path) as made:
        yield made


@pytest.fixture
def modern() -> bool:
    return False


@pytest.fixture
async def c(tmp_path: Path, *, modern: bool) -> AsyncIterator[Back]:
    async with coming_back(tmp_path, echo(), modern=modern, name="echo") as made:
        yield made


@pytest.fixture
def server() -> str:
    return LEGACY


@pytest.fixture
def client() -> str:
    return "legacy"


@pytest.fixture
async def a(tmp_path: Path, server: str, client: str) -> AsyncIterator[Asking]:
    async with between(tmp_path, server=server, client=client) as made:
        yield made
