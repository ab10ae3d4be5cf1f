"""The reserve: space that is kept beside the database, so that a full disk still ends tasks.

1. The reserve is a file of bytes that can't be compressed away, written and synced
   while there is space.
2. It is given up only for work that ends things, and only when the disk is full.
3. While it is not whole nothing new is permitted. It is made again as soon as there is
   space for it and as much again.
"""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Final

from taskbound.ports.store import FullDiskError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


RESERVE: Final = 4 * 1024 * 1024
"""Bytes that are kept when nobody says otherwise."""

_CHUNK: Final = 1024 * 1024
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


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
            if error.errno not in _NO_SPACE:
                raise StoreUnavailableError(f"the reserve can't be written: {error.strerror}") from error
            os.truncate(self._path, 0)
            return False
        self._whole = True
        return True


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
