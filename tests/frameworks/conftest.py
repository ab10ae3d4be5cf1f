"""The event loop of the tests in this folder, and a program for each framework."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.frameworks.peer import Program, running


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def program(request: pytest.FixtureRequest) -> Iterator[Program]:
    """The program of the module's framework."""
    with running(request.module.FRAMEWORK) as found:
        yield found
