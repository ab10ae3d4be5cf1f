from __future__ import annotations

import logging
import os
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.contracts.target import openbao_bench, openssh_bench, postgres_bench, redis_bench
from tests.contracts.target.bench import end
from tests.peers.minter import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.contracts.target.bench import Bench

BENCHES: dict[str, Callable[[], AbstractContextManager[Bench]]] = {
    "openbao": openbao_bench.benched,
    "openssh": openssh_bench.benched,
    "postgres": postgres_bench.benched,
    "redis": redis_bench.benched,
    "valkey": partial(redis_bench.benched, "valkey"),
}
SHAPES = [
    pytest.param(name, one, id=f"{name}-{one.replace(' ', '-')}")
    for name, shapes in {
        "openbao": postgres_bench.SHAPES,
        "openssh": openssh_bench.SHAPES,
        "postgres": postgres_bench.SHAPES,
        "redis": redis_bench.SHAPES,
        "valkey": redis_bench.SHAPES,
    }.items()
    for one in shapes
]
"""Each system with each shape of what can be open."""
WHOLE = os.environ.get("TASKBOUND_CONTRACT", "").split() or [one for one in BENCHES if one != "valkey"]
"""A Valkey is spoken to as a Redis is, and is held here to what its own server does: ends what is open. To
all of it by `dev/soak --only contract`, which names it in the environment."""


@pytest.fixture(scope="session", params=WHOLE)
def started(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with BENCHES[request.param]() as bench:
        yield bench
        bench.told.require_none(bench.log())


@pytest.fixture
def bench(started: Bench, caplog: pytest.LogCaptureFixture) -> Iterator[Bench]:
    """Each test leaves nothing of ours in the system, and nothing of it is told in our log."""
    with caplog.at_level(logging.DEBUG):
        yield started
    started.told.require_none(caplog.text)
    left = started.there()
    for name in left:
        end(started.target(), name, started.ends)
    assert left == frozenset(), f"a test left something under {PREFIX}"
