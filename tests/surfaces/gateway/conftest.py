"""The event loop of the tests in this folder, and what several of them are set up with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.surfaces.gateway.shelves import Shelves

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def shelves(tmp_path: Path) -> Shelves:
    return Shelves(tmp_path)
