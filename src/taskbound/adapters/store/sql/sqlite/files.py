"""Files beside a SQLite database: its lock, its high-water mark and its reserve.

Of `lock`:

1. It is a lock of the kernel on the file `NAME-lock`, so it ends with its process, however that ends. That
   file is this account's alone (0600), also where a group may read the database: a reader keeps nobody out.
2. Whoever opens the database holds it meanwhile. A daemon keeps it for as long as it serves, whatever data
   directory it was started for, and whoever moves the database takes it before.
3. The file stays where it is, and what is put in the place of a database brings none along: of two files of
   this name each could be locked by somebody.

Of `mark`:

1. It is written after each commit that grew the log, without a sync: it outlives the
   process, and after a loss of power it may be older than the database, never newer.
2. A database that holds less than its mark has lost what was acknowledged (a WAL that
   was cut off, an older file put in its place), and one with another record at the
   mark's number is another database: both are refused.
3. It has one length and is made once, so that writing it needs no space.

Of `reserve`:

1. The reserve is a file of bytes that can't be compressed away, written and synced
   while there is space.
2. It is given up only for work that ends things, and only when the disk is full.
3. While it is not whole nothing new is permitted. It is made again as soon as there is
   space for it and as much again.
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
    """Another process serves from this database, opens it or puts another one in its place."""

    code = "database-in-use"
    remedy = "end the daemon that serves it, of whichever data directory that is, then do it again"


def lock_of(database: Path) -> Path:
    """The file that is locked."""
    return database.with_name(f"{database.name}-lock")


def hold_database(database: Path) -> int:
    """Own the database until the descriptor is closed, which is the answer (rule 2).

    Raises:
        DatabaseInUseError: Another process owns it, or has been opening it for two seconds.
        OSError: There is no such folder, or it can't be written.
    """
    return _take(lock_of(database), _INSTANT, DatabaseInUseError(f"another process has `{database}` in use"))


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Alone among all processes that open the database, for the length of the context.

    Raises:
        BusyStoreError: Another process has been opening it for a minute, or serves from it.
        OSError: There is no such folder, or it can't be written.
    """
    path = lock_of(database)
    handle = _take(path, _PATIENCE, BusyStoreError(f"another process holds `{path.name}`"))
    try:
        yield
    finally:
        os.close(handle)


def _take(path: Path, patience: float, refused: StoreUnavailableError) -> int:
    """The descriptor that holds it, once nobody else does."""
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
class Mark:
    """How far a log is."""

    count: int = 0
    """Records."""
    size: int = 0
    """Records that have a place."""
    hash: str = "0" * 64
    """Of the last record."""

    @property
    def line(self) -> bytes:
        """As the file holds it, always of the same length."""
        body = f"taskbound-mark 1 {self.count:016x} {self.size:016x} {self.hash}"
        return f"{body} {zlib.crc32(body.encode('ascii')):08x}\n".encode("ascii")


def read_mark(path: Path) -> Mark | None:
    """The mark that the file holds; None when there is no file.

    Raises:
        DamagedStoreError: It holds something else.
    """
    try:
        line = path.read_bytes()
    except FileNotFoundError:
        return None
    found = _FORM.fullmatch(line)
    if found is not None:
        mark = Mark(count=int(found[1], 16), size=int(found[2], 16), hash=found[3].decode("ascii"))
        if mark.line == line:
            return mark
    raise DamagedStoreError(f"`{path.name}`, the mark beside the database, is damaged")


class MarkFile:
    """The mark's file, held open."""

    def __init__(self, path: Path, mark: Mark) -> None:
        """Take the file over with this mark, or make it so that it is there whole or not at all."""
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

    def keep(self, mark: Mark) -> None:
        """Write the mark (rule 1); without space it stays an older one, which is true as well.

        Raises:
            OSError: The disk failed.
        """
        try:
            os.pwrite(self._handle, mark.line, 0)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


RESERVE: Final = 4 * 1024 * 1024
"""Bytes that are kept when nobody says otherwise."""

_CHUNK: Final = 1024 * 1024
_RESERVE_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def free_bytes(folder: Path) -> int:
    """How many bytes the disk of this folder has left for us."""
    return shutil.disk_usage(folder).free


class Reserve:
    """The file and whether it is whole; used under the writer's lock."""

    def __init__(self, path: Path, size: int, free: Callable[[Path], int] = free_bytes) -> None:
        """Look at the file; nothing is made yet.

        Args:
            path: Where it is kept.
            size: How many bytes; 0 keeps none.
            free: How many bytes a folder's disk has left.
        """
        self._path = path
        self._size = size
        self._free = free
        self._whole = size == 0 or (path.exists() and path.stat().st_size == size)

    @property
    def whole(self) -> bool:
        """Whether all of it is there."""
        return self._whole

    def require(self) -> None:
        """Go on only with the whole reserve, made again if there is space (rule 3).

        Raises:
            FullDiskError: There is none.
            StoreUnavailableError: The file can't be written.
        """
        if self._whole:
            return
        if self._free(self._path.parent) < 2 * self._size or not self._fill():
            raise FullDiskError("the disk is full, and the space that was kept for ending tasks is in use")

    def release(self) -> bool:
        """Give the space up (rule 2); whether there was any.

        Raises:
            StoreUnavailableError: The file can't be changed.
        """
        if self._size == 0 or not self._path.exists() or self._path.stat().st_size == 0:
            return False
        self._whole = False
        try:
            os.truncate(self._path, 0)
        except OSError as error:
            raise StoreUnavailableError(f"the reserve can't be given up: {error.strerror}") from error
        return True

    def state(self) -> str:
        """`whole`, or why it is not."""
        if self._whole:
            return "whole"
        return f"in use: the disk filled up, and {self._size} bytes are not free again yet"

    def _fill(self) -> bool:
        """Write all of it (rule 1); whether there was space."""
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
