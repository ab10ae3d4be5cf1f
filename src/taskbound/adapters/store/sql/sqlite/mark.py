"""The mark beside the database: how far the log was when a write was last acknowledged.

1. It is written after each commit that grew the log, without a sync: it outlives the
   process, and after a loss of power it may be older than the database, never newer.
2. A database that holds less than its mark has lost what was acknowledged (a WAL that
   was cut off, an older file put in its place), and one with another record at the
   mark's number is another database: both are refused.
3. It has one length and is made once, so that writing it needs no space.
"""

from __future__ import annotations

import errno
import os
import re
import zlib
from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.sql.sqlite.driver import DamagedStoreError
from taskbound.core.dataclass import dataclass
from taskbound.core.quick import quick

if TYPE_CHECKING:
    from pathlib import Path


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
