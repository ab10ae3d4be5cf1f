"""Files beside a SQLite database: lock, high-water mark, reserve.

Of `lock`:

1. It is a kernel lock on `NAME-lock`, so it ends with its process. The file is mode 0600 even where a
   group may read the database, so a reader cannot block the daemon.
2. Opening the database holds it; a daemon keeps it while it serves; moving the database requires it.
3. The file stays in place, and a replacement database must not bring its own: processes could then lock
   two different files of one name.

Of `mark`:

1. It is written without a sync after each commit that grew the log: it outlives the process, and after a
   power loss it may be older than the database, never newer.
2. A database that holds less than its mark lost acknowledged commits; one with another record at the
   mark's number is a different database. Both are refused.
3. Its length is fixed and it is created once, so writing it needs no space.

Of `reserve`:

1. The reserve is a file of incompressible bytes, written and synced while there is space.
2. It is released only when the disk is full, and only for work that ends things.
3. While it is not whole nothing new is permitted. It is rebuilt once its size is free twice.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import time
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.sql.sqlite.driver import BusyStoreError, DamagedStoreError
from taskbound.core.dataclass import dataclass
from taskbound.core.quick import quick
from taskbound.ports.store import FullDiskError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


_PATIENCE: Final = 60.0
"""Seconds that others may take to open it, which may be to bring it to another schema."""
_INSTANT: Final = 2.0
"""Seconds that may pass until a process that was killed has let go of it."""
_PAUSE: Final = 0.02
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class DatabaseInUseError(StoreUnavailableError):
    """Another process serves from, opens or replaces this database."""

    code = "database-in-use"
    remedy = "end the daemon that serves it, of whichever data directory that is, then do it again"


def lock_of(database: Path) -> Path:
    """Returns the path of the lock file."""
    return database.with_name(f"{database.name}-lock")


def hold_database(database: Path) -> int:
    """Locks the database until the descriptor is closed; waits two seconds. Raises OSError too."""
    return _take(lock_of(database), _INSTANT, DatabaseInUseError(f"another process has `{database}` in use"))


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Holds the lock during the context; raises BusyStoreError after a minute, OSError without a folder."""
    path = lock_of(database)
    handle = _take(path, _PATIENCE, BusyStoreError(f"another process holds `{path.name}`"))
    try:
        yield
    finally:
        os.close(handle)


def _take(path: Path, patience: float, refused: StoreUnavailableError) -> int:
    end = time.monotonic() + patience
    handle = os.open(path, _FLAGS, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise refused from None
                time.sleep(_PAUSE)
            else:
                return handle
    except BaseException:
        os.close(handle)
        raise


_FORM: Final = re.compile(rb"taskbound-mark 1 ([0-9a-f]{16}) ([0-9a-f]{16}) ([0-9a-f]{64}) ([0-9a-f]{8})\n")
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class LogMark:
    """The log's high-water mark."""

    count: int = 0
    """Records."""
    size: int = 0
    """Records that have a place."""
    hash: str = "0" * 64
    """Of the last record."""

    @property
    def line(self) -> bytes:
        body = f"taskbound-mark 1 {self.count:016x} {self.size:016x} {self.hash}"
        return f"{body} {zlib.crc32(body.encode('ascii')):08x}\n".encode("ascii")


def read_mark(path: Path) -> LogMark | None:
    """Returns the mark, or None without a file; raises DamagedStoreError if the content is invalid."""
    try:
        line = path.read_bytes()
    except FileNotFoundError:
        return None
    found = _FORM.fullmatch(line)
    if found is not None:
        mark = LogMark(count=int(found[1], 16), size=int(found[2], 16), hash=found[3].decode("ascii"))
        if mark.line == line:
            return mark
    raise DamagedStoreError(f"`{path.name}`, the mark beside the database, is damaged")


class MarkFile:
    """The open mark file."""

    def __init__(self, path: Path, mark: LogMark) -> None:
        """Creates the file atomically if absent."""
        if not path.exists():
            fresh = path.with_name(f"{path.name}.new")
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.write(handle, mark.line)
                os.fsync(handle)
            finally:
                os.close(handle)
            fresh.replace(path)
            _sync_folder(path.parent)
        self._handle = os.open(path, os.O_WRONLY)
        self.keep(mark)

    def keep(self, mark: LogMark) -> None:
        """Writes the mark (rule 1); on a full disk the older one stays, which is valid. Raises OSError."""
        try:
            os.pwrite(self._handle, mark.line, 0)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise

    def close(self) -> None:
        os.close(self._handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


RESERVE: Final = 4 * 1024 * 1024
"""Bytes kept by default."""

_CHUNK: Final = 1024 * 1024
_RESERVE_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class Reserve:
    """The reserve file; used under the writer's lock."""

    def __init__(self, path: Path, size: int, free: Callable[[Path], int] = free_bytes) -> None:
        self._path = path
        self._size = size
        self._free = free
        self._whole = size == 0 or (path.exists() and path.stat().st_size == size)

    @property
    def whole(self) -> bool:
        return self._whole

    def require(self) -> None:
        """Rebuilds the reserve if needed (rule 3); raises FullDiskError or StoreUnavailableError."""
        if self._whole:
            return
        if self._free(self._path.parent) < 2 * self._size or not self._fill():
            raise FullDiskError("the disk is full, and the space that was kept for ending tasks is in use")

    def release(self) -> bool:
        """Frees the space (rule 2); returns whether there was any. Raises StoreUnavailableError."""
        if self._size == 0 or not self._path.exists() or self._path.stat().st_size == 0:
            return False
        self._whole = False
        try:
            os.truncate(self._path, 0)
        except OSError as error:
            raise StoreUnavailableError(f"the reserve can't be given up: {error.strerror}") from error
        return True

    def state(self) -> str:
        """Returns `whole`, or the reason why it is not."""
        if self._whole:
            return "whole"
        return f"in use: the disk filled up, and {self._size} bytes are not free again yet"

    def _fill(self) -> bool:
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                for start in range(0, self._size, _CHUNK):
                    _write_all(handle, os.urandom(min(_CHUNK, self._size - start)))
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            if error.errno not in _RESERVE_NO_SPACE:
                raise StoreUnavailableError(f"the reserve can't be written: {error.strerror}") from error
            os.truncate(self._path, 0)
            return False
        self._whole = True
        return True


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
