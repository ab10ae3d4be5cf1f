"""Claims of a service in a SQLite file shared by its processes.

Of `sqlite`:

1. Python's own SQLite suffices. Its WAL bug (3.7.0 to 3.51.2 can lose commits) doesn't apply: the file has
   a rollback journal with `synchronous=FULL`, and a file that stays in WAL mode is refused. A begin is
   durable before anything runs.
2. Each use takes the write lock (`BEGIN IMMEDIATE`), looks, and inserts: of concurrent users one begins.
3. A process lock identifies the process that began a request (`running`), so a repeat learns whether it
   still runs.
4. Claims are deleted two minutes past their end, by the later of now and the latest instant ever seen; the
   deletion horizon and that instant are kept (`core.token.served`, rule 5).
5. If an answer can't be written, the request stays begun: this process reports its outcome as unknown, and
   others do once this process is gone.
6. File and folder are private to this user, as they hold answers. A file that was moved or replaced is not
   written any more, since other processes would use another one. Deleted data is overwritten in the file,
   not in remains of a truncated journal.
7. A fork waits until no transaction is open. The child reopens the file, and neither uses, closes nor rolls
   back what it inherited: the journal may be another process's.
8. Errors of the system or SQLite contain paths, and a requester sees error texts: they stand in the error's
   cause only.
9. A begin waits five seconds for the file, including threads before it: if a stopped process holds the
   file, a queue would otherwise wait five seconds per request. An answer waits its turn, as it must be
   kept.

Of `running`:

1. A process draws a name and locks a file of that name. The kernel releases the lock when the process ends,
   so neither timeouts nor reused pids matter.
2. A forked child draws its own name. Its inherited descriptor keeps the parent's lock until both have
   ended: a dead process may count as running for a while, which never runs anything twice.
3. A file whose lock is free belongs to a dead process and is deleted by its finder; a maker checks that its
   file still exists once it is locked.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import secrets
import sqlite3
import stat
import threading
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, minutes
from taskbound.core.token import ReplayedError
from taskbound.core.token.shared import (
    Begun,
    ClaimsUnavailableError,
    Served,
    ServedAnswer,
    ServedState,
    again,
    require_remembered,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.core.token import Claim
    from taskbound.core.token.shared import Beginning, Serving


_TRIES: Final = 16
_MODE: Final = 0o600
_SUFFIX: Final = ".running"


class Running:
    """This process's name, and whether other processes run."""

    def __init__(self, folder: Path) -> None:
        """Holds nothing yet; `folder` must exist and be private to this user."""
        self._folder = folder
        self._own: tuple[int, str, int] | None = None

    def name(self) -> str:
        """Returns the name of this process (rules 1 and 2); raises OSError if it can't be locked."""
        if self._own is not None and self._own[0] == os.getpid():
            return self._own[1]
        for _ in range(_TRIES):
            name = secrets.token_hex(16)
            held = self._hold(name)
            if held is not None:
                self._own = os.getpid(), name, held
                return name
        raise OSError("no lock of a process could be made")

    def lives(self, name: str) -> bool:
        """Returns whether the process of this name still runs; raises OSError if that is unknown."""
        if self._own is not None and self._own[1] == name and self._own[0] == os.getpid():
            return True
        try:
            other = os.open(self._path(name), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            self._path(name).unlink(missing_ok=True)  # 3
            return False
        finally:
            os.close(other)

    def sweep(self) -> None:
        for one in self._folder.glob(f"*{_SUFFIX}"):
            self.lives(one.name.removesuffix(_SUFFIX))

    def close(self) -> None:
        if self._own is None:
            return
        pid, name, held = self._own
        self._own = None
        if pid == os.getpid():
            with suppress(OSError):  # it is free with its lock, and the next who looks takes it away
                self._path(name).unlink()
        os.close(held)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"

    def _hold(self, name: str) -> int | None:
        """Returns the locked file; None if another process deleted it meanwhile (rule 3)."""
        path = self._path(name)
        held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = path.stat(follow_symlinks=False).st_ino == os.fstat(held).st_ino
        except (BlockingIOError, FileNotFoundError):
            there = False
        if not there:
            os.close(held)
            return None
        return held


_VERSION: Final = 1
_BUSY: Final = 5.0
"""Seconds that a writer waits for another one, and for another thread's turn (rule 9)."""
_APART: Final = minutes(2)
_SWEPT: Final = 200
"""Rows that one use forgets at most."""
_FOLDER: Final = 0o700
_FILE: Final = 0o600
_OTHERS: Final = 0o077
_SCHEMA: Final = """
CREATE TABLE served (
    verifier TEXT NOT NULL, txn TEXT NOT NULL, request TEXT NOT NULL, until INTEGER NOT NULL,
    state TEXT NOT NULL, runner TEXT NOT NULL,
    status INTEGER, headers TEXT, digest TEXT, length INTEGER, body BLOB,
    PRIMARY KEY (verifier, txn)
);
CREATE INDEX served_until ON served (until);
CREATE TABLE used (
    kind TEXT NOT NULL, digest TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (kind, digest)
);
CREATE INDEX used_until ON used (until);
CREATE TABLE forgotten (what TEXT PRIMARY KEY, until INTEGER NOT NULL);
CREATE TABLE seen (only INTEGER PRIMARY KEY CHECK (only = 1), at INTEGER NOT NULL);
INSERT INTO seen VALUES (1, 0);
PRAGMA user_version = 1
"""


class SqliteClaims:
    """The claims of one service; thread-safe and fork-safe."""

    def __init__(self, path: Path) -> None:
        """Opens or creates the file in a folder that is the service's own; raises ClaimsUnavailableError."""
        self._path = path
        self._lock = threading.RLock()
        self._opened: tuple[int, sqlite3.Connection] | None = None
        self._unsaid: set[tuple[str, str]] = set()
        self._running = Running(path.parent)
        self._file: tuple[int, int] | None = None
        _forked(self)
        try:
            with self._told():
                path.parent.mkdir(mode=_FOLDER, parents=True, exist_ok=True)
                _make(path)
                _require_own(path.parent)
                _require_own(path)
                self._running.sweep()
                with self._writing() as connection:
                    _require_schema(connection)
        except BaseException:
            self.close()
            raise

    def begin(self, serving: Serving, now: Instant) -> Beginning:
        """Begins this request durably, or returns what is known of it (`core.token.served`)."""
        with self._told(), self._writing(_BUSY) as connection:
            latest = _see(connection, now)
            found = self._found(connection, serving)
            if found is not None:
                return again(found, serving)
            require_remembered(serving.until, _forgotten(connection, "served"))
            connection.execute(
                "INSERT INTO served (verifier, txn, request, until, state, runner) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    serving.verifier,
                    serving.txn,
                    serving.request,
                    serving.until,
                    ServedState.BEGUN.value,
                    self._running.name(),
                ),
            )
            _forget(connection, Instant(latest - _APART))  # 4
            return Begun()

    def answer(self, serving: Serving, answer: ServedAnswer) -> None:
        self._say(
            serving,
            "UPDATE served SET state = ?, status = ?, headers = ?, digest = ?, length = ?, body = ?"
            " WHERE verifier = ? AND txn = ? AND request = ? AND state = ?",
            (
                ServedState.ANSWERED.value,
                answer.status,
                json.dumps(answer.headers),
                answer.digest,
                answer.length,
                answer.body,
            ),
        )

    def lose(self, serving: Serving) -> None:
        """Marks the outcome as unknown; on ClaimsUnavailableError it is unknown all the same (rule 5)."""
        self._say(
            serving,
            "UPDATE served SET state = ? WHERE verifier = ? AND txn = ? AND request = ? AND state = ?",
            (ServedState.LOST.value,),
        )

    def use(self, claim: Claim, now: Instant) -> None:
        with self._told(), self._writing(_BUSY) as connection:
            latest = _see(connection, now)
            if claim.until <= _forgotten(connection, claim.kind.value):
                raise ReplayedError("whether this proof was used before is not known any more")
            row = claim.kind.value, claim.digest, claim.until
            done = connection.execute("INSERT INTO used VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row)
            if done.rowcount != 1:
                raise ReplayedError("this proof was used before")
            _forget(connection, Instant(latest - _APART))  # 4

    def last_instant(self) -> Instant:
        """Returns the latest instant seen here, below which the service's clock never starts."""
        with self._told(), self._lock:
            (at,) = self._connection().execute("SELECT at FROM seen").fetchone()
            return Instant(at)

    def close(self) -> None:
        with self._lock:
            self._running.close()
            self._leave()
            if self._opened is not None:
                self._opened[1].close()
            self._opened = None

    def _say(self, serving: Serving, statement: str, values: tuple[object, ...]) -> None:
        key = serving.verifier, serving.txn
        with self._lock:
            self._unsaid.add(key)  # 5
            with self._told(), self._writing() as connection:
                named = *key, serving.request, ServedState.BEGUN.value
                if connection.execute(statement, (*values, *named)).rowcount != 1:
                    raise ClaimsUnavailableError("what was answered belongs to no request that was begun")
            self._unsaid.discard(key)

    def _found(self, connection: sqlite3.Connection, serving: Serving) -> Served | None:
        row = connection.execute(
            "SELECT request, state, runner, status, headers, digest, length, body FROM served"
            " WHERE verifier = ? AND txn = ?",
            (serving.verifier, serving.txn),
        ).fetchone()
        if row is None:
            return None
        request, state, runner, status, headers, digest, length, body = row
        answer = None
        if state == ServedState.ANSWERED.value:
            told = tuple((name, value) for name, value in json.loads(headers))
            answer = ServedAnswer(status=status, headers=told, digest=digest, length=length, body=body)
        lives = (
            state == ServedState.BEGUN.value
            and (serving.verifier, serving.txn) not in self._unsaid
            and self._running.lives(runner)
        )  # 3, 5
        return Served(request=request, state=ServedState(state), answer=answer, lives=lives)

    def _connection(self) -> sqlite3.Connection:
        if self._opened is not None and self._opened[0] == os.getpid():
            if not self._opened[1].in_transaction:
                return self._opened[1]
            self._opened[1].close()  # what its transaction met kept it from being rolled back, too
            self._opened = None
        self._leave()
        with _seen_before(self._path) as file:
            made = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
            try:
                _require_durable(made)
            except BaseException:
                made.close()
                raise
        self._file = file
        self._opened = os.getpid(), made
        return made

    def _leave(self) -> None:
        """Keeps an inherited connection untouched until the process ends (rule 7)."""
        if self._opened is not None and self._opened[0] != os.getpid():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._opened[1]))
            self._opened = None

    def pause(self) -> None:
        """Prevents transactions until `resume` (rule 7)."""
        self._lock.acquire()

    def resume(self) -> None:
        self._lock.release()

    def begin_anew(self) -> None:
        """Resets a forked child, without anything of the parent's (rule 7)."""
        self._lock = threading.RLock()
        self._leave()

    @contextmanager
    def _writing(self, patience: float = -1) -> Iterator[sqlite3.Connection]:
        """One write transaction (rule 2); waits up to `patience` seconds for other threads (rule 9)."""
        lock = self._lock
        if not lock.acquire(timeout=patience):
            raise ClaimsUnavailableError("the file of claims is busy")
        try:
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                _require_same(self._path, self._file)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        finally:
            lock.release()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error, ValueError) as error:
            raise ClaimsUnavailableError("the file of claims can't be used") from error  # 8


def _forked(claims: SqliteClaims) -> None:
    there = weakref.ref(claims)

    paused: list[SqliteClaims] = []

    def before() -> None:
        if (found := there()) is not None:
            found.pause()
            paused.append(found)

    def in_parent() -> None:
        while paused:
            paused.pop().resume()

    def in_child() -> None:
        paused.clear()
        if (found := there()) is not None:
            found.begin_anew()

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


def _make(path: Path) -> None:
    """Creates a missing file; an existing one is not opened, as closing it would drop locks."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE))


@contextmanager
def _seen_before(path: Path) -> Iterator[tuple[int, int]]:
    """Yields the file's identity, and holds the file so that its inode number can't be reused."""
    name_only = getattr(os, "O_PATH", 0)
    if not name_only:  # what can read or write may not be closed here (`_make`)
        yield _file(path)
        return
    held = os.open(path, name_only | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        found = os.fstat(held)
        yield found.st_dev, found.st_ino
    finally:
        os.close(held)


def _require_same(path: Path, file: tuple[int, int] | None) -> None:
    """Requires that the open file is still the one at this path (rule 6)."""
    if _file(path) != file:
        raise ClaimsUnavailableError("the file of claims was replaced while it was open")


def _file(path: Path) -> tuple[int, int]:
    found = path.stat(follow_symlinks=False)
    return found.st_dev, found.st_ino


def _require_durable(made: sqlite3.Connection) -> None:
    """Requires a rollback journal and full syncs (rule 1), and secure deletion (rule 6)."""
    (mode,) = made.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
    if mode != "truncate":
        raise ClaimsUnavailableError(f"the file of claims keeps a journal of kind `{mode}`")
    made.execute("PRAGMA synchronous = FULL")
    made.execute("PRAGMA secure_delete = ON")


def _require_own(path: Path) -> None:
    found = path.stat(follow_symlinks=False)
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & _OTHERS:
        raise ClaimsUnavailableError(
            f"`{path}` is not this user's alone",
            remedy="make it so: mode 0700 of the folder, 0600 of the file",
        )


def _require_schema(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
    elif version != _VERSION:
        raise ClaimsUnavailableError(f"the file of claims is of version {version}, and {_VERSION} is known")


def _see(connection: sqlite3.Connection, now: Instant) -> Instant:
    connection.execute("UPDATE seen SET at = ? WHERE at < ?", (now, now))
    (at,) = connection.execute("SELECT at FROM seen").fetchone()
    return Instant(at)


def _forgotten(connection: sqlite3.Connection, what: str) -> Instant:
    row = connection.execute("SELECT until FROM forgotten WHERE what = ?", (what,)).fetchone()
    return Instant(-1 if row is None else row[0])


def _forget(connection: sqlite3.Connection, before: Instant) -> None:
    for table, what in (("served", "'served'"), ("used", "kind")):
        old = f"rowid IN (SELECT rowid FROM {table} WHERE until < ? ORDER BY until LIMIT {_SWEPT})"  # noqa: S608 - our own names
        connection.execute(
            f"INSERT INTO forgotten SELECT {what}, max(until) FROM {table} WHERE {old} GROUP BY 1"  # noqa: S608 - as above
            " ON CONFLICT DO UPDATE SET until = max(until, excluded.until)",
            (before,),
        )
        connection.execute(f"DELETE FROM {table} WHERE {old}", (before,))  # noqa: S608 - as above
