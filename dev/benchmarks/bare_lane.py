"""The bare commit shape behind asyncio callers: what this machine can do before any rule of ours.

One thread that writes, SQLite with a write-ahead log and a sync for each group: a guarded UPDATE of one
counter, an action and a record, each with as many bytes as ours have; one hop back to the loop for each
group. It parses nothing, knows no task, asks no policy and chains no record.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.sql.sqlite.driver import driver

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


GROUP: Final = 64
_Waiting = tuple[str, asyncio.Future[bool]]
_SCHEMA: Final = (
    "CREATE TABLE counters (id TEXT PRIMARY KEY, uses INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE actions (number INTEGER PRIMARY KEY, id TEXT UNIQUE, body BLOB)",
    "CREATE TABLE records (number INTEGER PRIMARY KEY, body BLOB)",
    "INSERT INTO counters VALUES ('g0', 2000000000)",
)
_TAKE: Final = "UPDATE counters SET uses = uses - 1 WHERE id = 'g0' AND uses >= 1"


class BareLane:
    """One database of its own, one thread that writes."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop, *, action: int, record: int) -> None:
        """Start the thread, which makes the database.

        Args:
            path: The file, on the disk that ours is on.
            loop: Where callers wait.
            action: Bytes of an action's row.
            record: Bytes of a record's row.
        """
        self._loop = loop
        self._action = os.urandom(max(action - 26, 0))
        self._record = os.urandom(record)
        self._jobs: deque[_Waiting] = deque()
        self._wake = threading.Condition()
        self._ending = False
        self._path = path
        self._thread = threading.Thread(target=self._run, name="bare", daemon=True)
        self._thread.start()

    def put(self, name: str) -> asyncio.Future[bool]:
        """Whether the counter held one more, once that is durable."""
        future: asyncio.Future[bool] = self._loop.create_future()
        with self._wake:
            self._jobs.append((name, future))
            self._wake.notify()
        return future

    def stop(self) -> None:
        """End the thread."""
        with self._wake:
            self._ending = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        connection = driver.connect(str(self._path), isolation_level=None)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", *_SCHEMA):
            connection.execute(statement)
        while True:
            with self._wake:
                while not self._jobs:
                    if self._ending:
                        connection.close()
                        return
                    self._wake.wait()
                group = [self._jobs.popleft() for _ in range(min(GROUP, len(self._jobs)))]
            taken = self._commit(connection, group)
            self._loop.call_soon_threadsafe(_give, group, taken)

    def _commit(self, connection: driver.Connection, group: Sequence[_Waiting]) -> list[bool]:
        actions = [(name, self._action) for name, _ in group]
        connection.execute("BEGIN IMMEDIATE")
        taken = [connection.execute(_TAKE).rowcount == 1 for _ in group]
        connection.executemany("INSERT INTO actions (id, body) VALUES (?, ?)", actions)
        connection.executemany("INSERT INTO records (body) VALUES (?)", [(self._record,)] * len(group))
        connection.execute("COMMIT")
        return taken


def _give(group: Sequence[_Waiting], taken: Sequence[bool]) -> None:
    for (_, future), one in zip(group, taken, strict=True):
        if not future.done():
            future.set_result(one)
