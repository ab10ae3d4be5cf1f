from __future__ import annotations

import os
import signal
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
from tests.sqlite import closing_stores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Server


__all__ = [
    "close_stores_of_session",
    "close_stores_of_test",
    "default_signals",
    "pytest_addoption",
    "pytest_configure",
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
    os.umask(
        0o022
    )  # some systems let the group write: the files that tests write would be refused as settings
    canary.pytest_configure(config)
    tiers.begin(config)


@pytest.fixture
def default_signals() -> Iterator[None]:
    """SIGHUP and SIGINT at their default: what runs in the background hands down that it ignores them."""
    ignored = [one for one in (signal.SIGHUP, signal.SIGINT) if signal.getsignal(one) is signal.SIG_IGN]
    for one in ignored:
        signal.signal(one, signal.SIG_DFL)
    yield
    for one in ignored:
        signal.signal(one, signal.SIG_IGN)


@pytest.fixture(scope="session", autouse=True)
def close_stores_of_session() -> Iterator[None]:
    with closing_stores():
        yield


@pytest.fixture(autouse=True)
def close_stores_of_test() -> Iterator[None]:
    with closing_stores():
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with running() as started:
        yield started
