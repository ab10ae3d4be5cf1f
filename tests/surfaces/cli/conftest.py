from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.surfaces.cli.installation import Installation


@pytest.fixture(scope="module")
def shared() -> Iterator[Installation]:
    """An installation with an active agent, shared by those of a module's tests that leave it as it is."""
    one = Installation()
    try:
        one.prepare()
        yield one
    finally:
        one.end()


@pytest.fixture(scope="module")
def place(shared: Installation) -> Installation:
    """The same, where all tests of the module share it."""
    return shared


@pytest.fixture
def fresh() -> Iterator[Installation]:
    """A home without an installation."""
    one = Installation()
    try:
        yield one
    finally:
        one.end()
