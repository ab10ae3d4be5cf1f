"""The store on SQLite: one writer, concurrent snapshots, and disk failures.

1. One connection writes, behind a mutex. A transaction takes SQLite's write lock with its first
   statement, so it writes upon what it read.
2. A snapshot is a read transaction that has already read once.
3. A commit with an unknown outcome is reported as such, and its connection is not used again.
4. After an I/O error or damage nothing is read or written: no retry, and not the checkpoint that closing a
   connection would do.
5. The log's mark is written once a commit is durable. A checkpoint follows when the WAL holds a thousand
   pages; after small commits this is checked only now and then, because the check costs more than the rows.
6. A full disk refuses writes. Work that ends things gets the reserve and runs again.
7. Rows that one transaction read are cached for the next while no other writer intervened and every commit
   is certain (`RowCache` in `rows`).
"""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.adapters.store.sql.audit import last_instant
from taskbound.adapters.store.sql.rows import RowCache
from taskbound.adapters.store.sql.schema.initial import REVISION
from taskbound.adapters.store.sql.sqlite.driver import (
    DiskFailedError,
    connect,
    driver,
    fatal,
    known_uncommitted,
    translate,
)
from taskbound.adapters.store.sql.sqlite.files import RESERVE, LogMark
from taskbound.adapters.store.sql.sqlite.link import SqliteLink, SqlTransaction
from taskbound.adapters.store.sql.sqlite.opening import Machine, open_files
from taskbound.ports.store import AmbiguousCommitError, FullDiskError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from taskbound.adapters.store.sql.audit import LogProgress
    from taskbound.adapters.store.sql.sqlite.driver import StoreError
    from taskbound.core.clock import Instant
    from taskbound.core.errors import TaskboundError
    from taskbound.ports.store import Snapshot, Transaction


T = TypeVar("T")

_IDLE_READERS: Final = 8
_CHECKPOINT_PAGES: Final = 1000
_FEW_ROWS: Final = 8
_FEW_COMMITS: Final = 16
_TOUCH: Final = "SELECT 1 FROM kill_switches LIMIT 1"
_VERSION: Final = "PRAGMA data_version"
_MACHINE: Final = Machine()


def _pass(_point: str) -> None:
    pass


def _nothing() -> None:
    pass


class SqlStore:
    """One SQLite database file, with a mark and a reserve beside it."""

    def __init__(
        self,
        path: Path,
        *,
        reserve: int = RESERVE,
        at: Callable[[str], None] = _pass,
        machine: Machine = _MACHINE,
        failed: Callable[[], None] = _nothing,
        held: int | None = None,
    ) -> None:
        """`reserve`: bytes; `held`: a lock that the store takes over; any thread may call `failed`."""
        self._at = at
        self._machine = machine
        self._failed = failed
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._guard = threading.Lock()
        self._idle: list[driver.Connection] = []
        self._broken: StoreUnavailableError | None = None
        self._closed = False
        self._stuck = False
        self._files = open_files(path, reserve=reserve, at=at, machine=machine, held=held is not None)
        self._held = held
        self._writer: driver.Connection | None = self._files.writer
        self._mark = self._files.mark
        self._known: RowCache | None = None
        self._small = 0

    @contextmanager
    def read(self) -> Iterator[Snapshot]:
        connection = self._take_reader()
        link = SqliteLink(connection)
        try:
            link.change("BEGIN")
            link.rows(_TOUCH)
            yield SqlTransaction(link)
        finally:
            link.end()
            self._put_back(connection, link)

    def write(self, work: Callable[[Transaction], T], *, reserve: bool = False) -> T:
        """Runs the work in a transaction; returns its result once durable."""
        if self._owner == threading.get_ident():
            raise StoreUnavailableError("a transaction can't be begun within another")
        with self._lock:
            self._owner = threading.get_ident()
            try:
                return self._write(work, reserve=reserve)
            finally:
                self._owner = None

    def last_instant(self) -> Instant:
        connection = self._take_reader()
        link = SqliteLink(connection)
        try:
            return last_instant(link)
        finally:
            link.end()
            self._put_back(connection, link)

    def leads(self) -> bool:
        """Always True: no other process writes."""
        return True

    def attend(self, name: str) -> None:
        pass

    def agree(self, what: str) -> None:
        pass

    def others(self, names: Collection[str]) -> frozenset[str]:  # noqa: ARG002 - whatever they are
        return frozenset()

    def describe(self) -> str:
        files = self._files
        kind = f"SQLite {self._machine.library}, schema {REVISION}"
        return f"{kind}, in `{files.path}`; reserve {files.reserve.state()}"

    def reserve_state(self) -> str:
        return self._files.reserve.state()

    def close(self) -> None:
        with self._lock, self._guard:
            if self._closed:
                return
            self._closed = True
            self._files.mark_file.close()
            if self._broken is None:
                self._broken = StoreUnavailableError("the store is closed")
                for connection in self._let_go():
                    connection.close()
            if self._held is not None:
                os.close(self._held)

    def refuse(self, error: StoreUnavailableError) -> None:
        """Refuses everything from now on with this error, and leaves the files alone (rule 4)."""
        self._break(error)

    def _write(self, work: Callable[[Transaction], T], *, reserve: bool) -> T:
        self._require_whole()
        if not reserve:
            self._require_space()
        try:
            return self._attempt(work)
        except FullDiskError:
            if not reserve or not self._files.reserve.release():
                raise
        self._at("released")
        self._checkpoint(self._take_writer())
        return self._attempt(work)

    def _attempt(self, work: Callable[[Transaction], T]) -> T:
        connection = self._take_writer()
        link = SqliteLink(connection)
        transaction = SqlTransaction(link)
        rows = connection.total_changes
        self._at("begin")
        try:
            link.change("BEGIN IMMEDIATE")
            link.known = known = self._take_known(link)
            self._at("locked")
            answer = work(transaction)
            transaction.finish()
            self._at("written")
            self._at("before-commit")
        except BaseException:
            self._roll_back(connection, link)
            raise
        finally:
            link.end()
        self._commit(connection)
        self._known = known
        self._at("after-commit")
        self._note(transaction.growth)
        self._look(connection, connection.total_changes - rows)
        return answer

    def _take_known(self, link: SqliteLink) -> RowCache:
        known, self._known = self._known, None
        version = link.whole(_VERSION)
        return known if known is not None and known.version == version else RowCache(version)

    def _roll_back(self, connection: driver.Connection, link: SqliteLink) -> None:
        if fatal(link.failure):
            self._break(link.failure)
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except driver.Error as error:
            self._break(translate(error))

    def _commit(self, connection: driver.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except driver.Error as error:
            known = translate(error)
            if fatal(known):
                self._break(known)
            elif known_uncommitted(error):
                self._roll_back(connection, SqliteLink(connection))
                raise known from error
            else:
                self._drop_writer(connection)
            raise AmbiguousCommitError("the commit was not answered") from error
        except BaseException:
            self._drop_writer(connection)
            raise

    def _note(self, growth: LogProgress) -> None:
        if not growth.count and not growth.size:
            return
        self._mark = LogMark(
            count=growth.count or self._mark.count,
            size=growth.size or self._mark.size,
            hash=growth.hash or self._mark.hash,
        )
        try:
            self._files.mark_file.keep(self._mark)
        except OSError as error:
            self._break(DiskFailedError(f"the mark can't be written: {error.strerror}"))

    def _look(self, connection: driver.Connection, rows: int) -> None:
        self._small += 1
        if rows <= _FEW_ROWS and self._small < _FEW_COMMITS and self._files.reserve.whole:
            return
        self._small = 0
        self._checkpoint(connection)

    def _checkpoint(self, connection: driver.Connection) -> None:
        """Moves a large WAL into the file; on a full disk only where it fits, to spare the reserve."""
        if self._broken is not None:
            return
        tight = not self._files.reserve.whole
        try:
            _, pages, moved = connection.execute("PRAGMA wal_checkpoint(NOOP)").fetchone()
            if pages - max(moved, 0) < (1 if tight else _CHECKPOINT_PAGES):
                return
            if tight and self._growth(connection) > self._machine.free(self._files.path.parent):
                return
            self._at("checkpoint")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._stuck = False
        except driver.Error as error:
            known = translate(error)
            self._stuck = isinstance(known, FullDiskError)
            if fatal(known):
                self._break(known)

    def _growth(self, connection: driver.Connection) -> int:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (width,) = connection.execute("PRAGMA page_size").fetchone()
        return max(int(pages * width) - self._files.path.stat().st_size, 0)

    def _require_space(self) -> None:
        self._files.reserve.require()
        if self._stuck:
            self._checkpoint(self._take_writer())
        if self._stuck:
            raise FullDiskError("the disk that holds the database is full")

    def _take_writer(self) -> driver.Connection:
        if self._writer is not None and self._writer.in_transaction:
            self._drop_writer(self._writer)  # 3: its last transaction was neither ended nor taken back
        if self._writer is None:
            try:
                self._writer = connect(self._files.path, self._machine.factory, reads=False)
            except driver.Error as error:
                raise self._lost(translate(error)) from error
        return self._writer

    def _drop_writer(self, connection: driver.Connection) -> None:
        self._writer = None
        with suppress(driver.Error):
            connection.close()

    def _take_reader(self) -> driver.Connection:
        self._require_whole()
        with self._guard:
            if self._idle:
                return self._idle.pop()
        try:
            return connect(self._files.path, self._machine.factory, reads=True)
        except driver.Error as error:
            raise self._lost(translate(error)) from error

    def _put_back(self, connection: driver.Connection, link: SqliteLink) -> None:
        self._roll_back(connection, link)
        with self._guard:
            if self._broken is None and len(self._idle) < _IDLE_READERS:
                self._idle.append(connection)
            elif fatal(self._broken):
                _abandon(connection)
            else:
                connection.close()

    def _require_whole(self) -> None:
        if self._broken is not None:
            raise type(self._broken)(self._broken.message)

    def _lost(self, error: StoreError) -> StoreError:
        if fatal(error):
            self._break(error)
        return error

    def _break(self, error: TaskboundError | None) -> None:
        with self._guard:
            if self._broken is None:
                known = error if isinstance(error, StoreUnavailableError) else None
                self._broken = known or DiskFailedError("the disk that holds the database failed")
            for connection in self._let_go():
                _abandon(connection)
        self._failed()

    @property
    def failure(self) -> StoreUnavailableError | None:
        return self._broken if fatal(self._broken) else None

    def _let_go(self) -> list[driver.Connection]:
        gone = [*self._idle, *([] if self._writer is None else [self._writer])]
        self._idle = []
        self._writer = None
        return gone


def _abandon(connection: driver.Connection) -> None:
    """Keeps the connection open until the process ends: closing it would checkpoint."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
