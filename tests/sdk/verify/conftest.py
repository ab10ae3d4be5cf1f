"""Services of the tests in this folder, whose claims are closed with the test."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.sdk.verify.world import Place, Places

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def places() -> Iterator[Places]:
    """Makes services."""
    with ExitStack() as closed:

        def made(folder: Path, **more: Any) -> Place:
            return closed.enter_context(closing(Place(folder, **more)))

        yield made
