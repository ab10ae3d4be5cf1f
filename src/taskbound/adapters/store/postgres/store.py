"""The store on PostgreSQL: row locks between daemons, snapshots, and handling of a lost server.

1. One connection of this process writes, behind a mutex. Other processes write at the same time; row
   locks keep them apart.
2. A snapshot is a READ ONLY transaction at REPEATABLE READ that has already read once.
3. A commit with an unknown outcome is reported as such. Nothing is read or written until the server has
   said how it ended, or that connection has been terminated.
4. A connection that was lost before COMMIT is replaced once and the work runs again. So does work that
   the server broke off in a deadlock, and work that must be exclusive after it had locked rows (`link`,
   rule 4).
5. There is no disk reserve: the server's disk is managed where the server is.
6. If the database lost what this process committed (also commits that rule 3 confirmed later), the store
   refuses everything from then on.
7. The sequencer's seat and presence are locks on connections of their own; a process that loses the
   connection loses them.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

import psycopg

from taskbound.adapters.store.postgres.audit import Chains
from taskbound.adapters.store.postgres.server.link import (
    LostDatabaseError,
    PostgresLink,
    ReadOnlyDatabaseError,
    Unsettled,
    connect,
    lost,
    place,
    translate,
    unopened,
)
from taskbound.adapters.store.postgres.server.opening import require_numbers, require_schema, require_server
from taskbound.adapters.store.postgres.server.presence import Presence, Seat
from taskbound.adapters.store.postgres.server.transaction import PostgresTransaction
from taskbound.adapters.store.sql.audit import last_instant
from taskbound.core.errors import TaskboundError
from taskbound.ports.store import AmbiguousCommitError, ConflictError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from taskbound.adapters.store.postgres.server.link import Connection
    from taskbound.core.clock import Instant
    from taskbound.ports.store import Snapshot, Transaction


T = TypeVar("T")

_IDLE_READERS: Final = 4
_TRIES: Final = 3
_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_TRANSACTION: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
_TOUCH: Final = "SELECT pg_is_in_recovery()::int FROM numbering"
_AGAIN: Final = frozenset({"40001", "40P01"})


class _LateError(Exception):
    pass


def _pass(_point: str) -> None:
    pass


def _nothing() -> None:
    pass


class PostgresStore:
    """One database on a PostgreSQL server, shared with other daemons."""

    def __init__(
        self, url: str, *, at: Callable[[str], None] = _pass, failed: Callable[[], None] = _nothing
    ) -> None:
        """What `at` raises at a named point aborts the write; any thread may call `failed` (rule 6)."""
        self._url = url
        self._at = at
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._guard = threading.Lock()
        self._idle: list[Connection] = []
        self._writer: Connection | None = None
        self._chains: dict[str, tuple[int, str, int]] = {}
        self._durable: dict[str, int] = {}
        """How far each of our chains is for sure, whatever the server says later (rule 6)."""
        self._seat = Seat(url)
        self._presence = Presence(url)
        self._seat_guard = threading.Lock()
        self._unsettled: Unsettled | None = None
        self._failed = failed
        self._broken: StoreUnavailableError | None = None
        self._closed = False
        try:
            self._writer = connect(url)
        except psycopg.Error as error:
            raise unopened(error) from error
        self._backend = self._writer.info.backend_pid
        try:
            require_server(self._writer)
            require_schema(self._writer)
            require_numbers(self._writer)
        except psycopg.Error as error:
            self._writer.close()
            raise translate(error) from error
        except BaseException:
            self._writer.close()
            raise
        self._version = self._writer.info.server_version
        self._role = self._writer.info.user

    @contextmanager
    def read(self) -> Iterator[Snapshot]:
        connection, link = self._begin_snapshot()
        try:
            yield PostgresTransaction(link, Chains({}, {}))
        finally:
            link.end()
            self._put_back(connection)

    def write(self, work: Callable[[Transaction], T], *, reserve: bool = False) -> T:  # noqa: ARG002 - rule 5: no reserve exists
        """Runs the work in a transaction; returns its result once durable."""
        if self._owner == threading.get_ident():
            raise StoreUnavailableError("a transaction can't be begun within another")
        with self._lock:
            self._owner = threading.get_ident()
            try:
                return self._write(work)
            finally:
                self._owner = None

    def last_instant(self) -> Instant:
        connection, link = self._begin_snapshot()
        try:
            return last_instant(link)
        finally:
            link.end()
            self._put_back(connection)

    def leads(self) -> bool:
        with self._seat_guard:
            self._require_open()
            return self._seat.hold()

    def attend(self, name: str) -> None:
        with self._seat_guard:
            self._require_open()
            self._presence.attend(name)

    def agree(self, what: str) -> None:
        with self._seat_guard:
            self._require_open()
            self._presence.agree(what)

    def others(self, names: Collection[str]) -> frozenset[str]:
        with self._seat_guard:
            self._require_open()
            return self._presence.others(names)

    def describe(self) -> str:
        version = f"{self._version // 10_000}.{self._version % 10_000}"
        return f"PostgreSQL {version}, {place(self._url)}, as role `{self._role}`"

    def reserve_state(self) -> str:
        return "whole"

    @property
    def failure(self) -> StoreUnavailableError | None:
        """Returns the permanent failure (rule 6), or None; a lost server is not permanent."""
        return self._broken

    def refuse(self, error: StoreUnavailableError) -> None:
        with self._guard:
            if self._broken is None:
                self._broken = error
        self._failed()

    def close(self) -> None:
        with self._lock, self._guard:
            self._closed = True
            for connection in self._idle:
                connection.close()
            self._idle = []
            self._drop_writer()
        with self._seat_guard:
            self._seat.leave()
            self._presence.leave()

    def _write(self, work: Callable[[Transaction], T]) -> T:
        try:
            return self._tried(work, alone=False)
        except _LateError:
            return self._tried(work, alone=True)

    def _tried(self, work: Callable[[Transaction], T], *, alone: bool) -> T:
        for turn in range(_TRIES):
            used = self._writer is not None
            try:
                return self._attempt(work, alone=alone)
            except LostDatabaseError as error:
                if not used or turn or error.__cause__ is None:
                    raise
            except ConflictError as error:
                if turn == _TRIES - 1 or getattr(error.__cause__, "sqlstate", "") not in _AGAIN:
                    raise
                self._at("again")
        raise ConflictError("other transactions kept changing what this one needs")

    def _attempt(self, work: Callable[[Transaction], T], *, alone: bool) -> T:
        self._settle()
        connection = self._take_writer()
        link = PostgresLink(connection, _TRANSACTION, writes=True, alone=alone)
        transaction = PostgresTransaction(link, Chains(self._chains, self._durable))
        self._at("begin")
        try:
            answer = work(transaction)
            xid = transaction.finish()
            self._at("before-commit")
        except BaseException as error:
            self._chains.clear()
            self._roll_back(connection, link)
            if transaction.chains.behind is not None:
                self.refuse(transaction.chains.behind)
                raise transaction.chains.behind from error
            if link.late:
                raise _LateError from error
            if link.failure is not None and isinstance(error, TaskboundError):
                raise link.failure from (link.failure.__cause__ or error)
            raise
        finally:
            link.end()
        grown = {writer: seq for writer, (seq, _, _) in transaction.chains.moved.items()}
        self._commit(connection, xid, grown)
        self._at("after-commit")
        self._chains.update(transaction.chains.moved)
        self._durable.update(grown)
        return answer

    def _roll_back(self, connection: Connection, link: PostgresLink) -> None:
        if isinstance(link.failure, LostDatabaseError) or not _end(connection):
            self._drop_writer()

    def _commit(self, connection: Connection, xid: str, grown: Mapping[str, int]) -> None:
        try:
            ended = connection.execute("COMMIT", prepare=False).statusmessage
        except psycopg.Error as error:
            self._chains.clear()
            if not lost(error) and not connection.closed:
                self._drop_writer()
                raise translate(error) from error
            self._doubt(xid, grown)
            raise AmbiguousCommitError("the commit was not answered") from error
        except BaseException:
            self._chains.clear()
            self._doubt(xid, grown)
            raise
        if ended != "COMMIT":
            self._chains.clear()
            raise StoreUnavailableError("the server rolled back instead of committing")

    def _doubt(self, xid: str, grown: Mapping[str, int]) -> None:
        self._unsettled = Unsettled(xid=xid, backend=self._backend, grown=grown) if xid else None
        self._drop_writer()
        with suppress(StoreUnavailableError):
            self._settle()

    def _settle(self) -> None:
        with self._guard:
            doubt = self._unsettled
        if doubt is None:
            return
        connection = self._open()
        try:
            committed = doubt.settle(connection)
        except psycopg.Error as error:
            raise translate(error) from error
        finally:
            connection.close()
        with self._guard:
            for writer, seq in doubt.grown.items() if committed else ():  # 6
                self._durable[writer] = max(seq, self._durable.get(writer, 0))
            self._unsettled = None

    def _begin_snapshot(self) -> tuple[Connection, PostgresLink]:
        self._settle()
        while True:
            connection, fresh = self._take_reader()
            link = PostgresLink(connection, _SNAPSHOT, writes=False)
            try:
                _require_current(link)
            except LostDatabaseError:
                connection.close()
                if fresh:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                return connection, link

    def _open(self) -> Connection:
        self._require_open()
        try:
            return connect(self._url)
        except psycopg.Error as error:
            raise translate(error) from error

    def _take_writer(self) -> Connection:
        self._require_open()
        if self._writer is None:
            self._writer = self._open()
            self._backend = self._writer.info.backend_pid
        return self._writer

    def _drop_writer(self) -> None:
        gone, self._writer = self._writer, None
        if gone is not None:
            gone.close()

    def _take_reader(self) -> tuple[Connection, bool]:
        self._require_open()
        with self._guard:
            if self._idle:
                return self._idle.pop(), False
        return self._open(), True

    def _put_back(self, connection: Connection) -> None:
        whole = _end(connection)
        with self._guard:
            if whole and not self._closed and len(self._idle) < _IDLE_READERS:
                self._idle.append(connection)
            else:
                connection.close()

    def _require_open(self) -> None:
        if self._broken is not None:
            raise type(self._broken)(self._broken.message)
        if self._closed:
            raise StoreUnavailableError("the store is closed")


def _require_current(link: PostgresLink) -> None:
    if link.whole(_TOUCH):
        raise ReadOnlyDatabaseError("the server only reads, and may be behind")


def _end(connection: Connection) -> bool:
    if connection.closed:
        return False
    try:
        connection.execute("ROLLBACK")
    except psycopg.Error:
        return False
    return True
