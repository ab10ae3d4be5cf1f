"""The event loop of the tests in this folder, and an API with default settings for each kind of client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.surfaces.network import acting, agents, evaluating, holding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def one(tmp_path: Path) -> Iterator[holding.Holding]:
    with holding.held(tmp_path) as made:
        yield made


@pytest.fixture
def act(tmp_path: Path) -> Iterator[acting.Acting]:
    with acting.acted(tmp_path) as made:
        yield made


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[agents.Acting]:
    with agents.acted(tmp_path) as made:
        yield made


@pytest.fixture
def service(tmp_path: Path) -> Iterator[evaluating.Evaluating]:
    with evaluating.evaluated(tmp_path) as made:
        yield made


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
