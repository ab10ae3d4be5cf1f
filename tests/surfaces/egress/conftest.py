"""The event loop of the tests in this folder, whose clock a test may move, and what they begin with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.surfaces.egress.test_minted import SPEC, Egress
from tests.surfaces.egress.test_tokens import Moved

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from taskbound.wire.tool import ServerSpec


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": Moved}


@pytest.fixture
async def loop() -> Moved:
    found = asyncio.get_running_loop()
    assert isinstance(found, Moved)
    return found


@pytest.fixture
def spec() -> ServerSpec:
    """The server whose credentials are asked for; a test may name another."""
    return SPEC


@pytest.fixture
async def there(loop: Moved, spec: ServerSpec) -> AsyncIterator[Egress]:
    found = Egress(loop, spec)
    yield found
    await found.asking.close()
