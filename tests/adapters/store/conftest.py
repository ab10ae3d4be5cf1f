from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import SPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskbound.ports.store import Transaction
    from tests.postgres import Server


class Two:
    """Two stores on one database, as two daemons have them, and a way to hold one in the midst of a write."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.first = PostgresStore(server.url(name))
        self.second = PostgresStore(server.url(name))

    def close(self) -> None:
        self.first.close()
        self.second.close()

    def while_held(self, work: Callable[[Transaction], object], other: Callable[[], object]) -> list[object]:
        """The first holds what it locked until the second waits; what each came to, in order."""
        done: list[object] = []
        reached = threading.Event()

        def run() -> None:
            reached.wait()
            try:
                done.append(other())
            except ConflictError as error:
                done.append(type(error))

        thread = threading.Thread(target=run)
        thread.start()

        def hold(tx: Transaction) -> object:
            answer = work(tx)
            tx.actions.lock_permits(SPACE, [])  # sends what waits
            reached.set()
            self.until_one_waits()
            return answer

        first = self.first.write(hold)
        thread.join()
        return [first, *done]

    def until_one_waits(self) -> None:
        with self.server.connect(self.name) as seen:
            for _ in range(500):
                found = seen.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND wait_event_type = 'Lock'"
                ).fetchone()
                if found and found[0]:
                    return
                seen.execute("SELECT pg_sleep(0.01)")
        pytest.fail("nothing waits")


@pytest.fixture
def two(server: Server) -> Iterator[Two]:
    name = server.database()
    both = Two(server, name)
    yield both
    both.close()
    server.drop(name)
