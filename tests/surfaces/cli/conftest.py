from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.surfaces.cli.installation import Installation


@pytest.fixture(scope="module")
def place() -> Iterator[Installation]:
    """An installation with an active agent, shared by a module's tests."""
    one = Installation()
    try:
        one.prepare()
        yield one
    finally:
        one.end()


@pytest.fixture
def fresh() -> Iterator[Installation]:
    """A home without an installation."""
    one = Installation()
    try:
        yield one
    finally:
        one.end()
