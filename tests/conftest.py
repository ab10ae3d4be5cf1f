from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import canary, tiers
from tests.canary import (
    pytest_runtest_logreport,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)
from tests.postgres import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Server


__all__ = [
    "pytest_runtest_logreport",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
    "server",
]


# How long something takes is a benchmark's to say, and no example fails for it on a machine that is busy.
settings.register_profile("taskbound", deadline=None)
settings.load_profile("taskbound")


def pytest_addoption(parser: pytest.Parser) -> None:
    tiers.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    canary.pytest_configure(config)
    tiers.begin(config)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with running() as started:
        yield started
