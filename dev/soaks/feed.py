"""The feed of two daemons over one PostgreSQL: eight writers, commits out of order, answers that are lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dev.soaks.found import Found, Spread
from taskbound.adapters.store.postgres import PostgresStore
from tests.postgres import running
from tests.stories.feeding import Course, run

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["soak_feed"]

_WRITERS, _WATCHERS = 8, 2


def soak_feed(count: int, seed: int) -> Found:
    """So many revoked tokens, each of which four readers hear of that are cut off again and again."""
    with running() as server:
        name = server.database()
        stores = [PostgresStore(server.url(name)) for _ in range(_WRITERS + _WATCHERS)]
        try:
            return _found(stores, count, seed)
        finally:
            for one in stores:
                one.close()


def _found(stores: Sequence[PostgresStore], count: int, seed: int) -> Found:
    told = run(Course(writers=stores[_WATCHERS:], watchers=stores[:_WATCHERS], count=count, seed=seed))
    if told.missed() or told.other or len(told.committed) != count:
        raise AssertionError(f"seed {seed}: {told.missed()} missed, {told.other} of other logs")
    took = Spread.of(told.latencies())
    spoiled = f"{told.lost:,} answers lost, twice or late, {told.anew:,} times begun anew"
    times = ", ".join(
        f"{name} {seconds * 1000:.0f} ms"
        for name, seconds in (("p50", took.p50), ("p99", took.p99), ("max", took.most))
    )
    return Found(
        counted=f"{count:,} revoked, none missed by four readers; {told.held:,} transactions committed behind"
        f" others that began later, {spoiled}; heard after {times}"
    )
