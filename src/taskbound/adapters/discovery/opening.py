"""Opening a file that somebody else may have made anything of: a regular one, of bounded size, text.

1. Nothing is waited for and nothing is changed: a pipe or a device is not opened for reading, and where the
   system lets us, not even the instant of the last read changes.
2. A link is followed where it ends within the folder that is looked through, and that is said. Any other is
   not, nor one that somebody puts in the way meanwhile: where a path leads is opened folder by folder.
3. Why a file was not read is said in a sentence of ours, with no word of the file.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from dataclasses import field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AbsentError", "Named", "Opened", "Sort", "UnreadError", "folder_names", "open_text"]

_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW
_QUIET: Final[int] = getattr(os, "O_NOATIME", 0)
_STEP: Final[int] = (
    os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW | getattr(os, "O_PATH", os.O_RDONLY)
)  # a folder that may be searched may not be to be read
_MARK: Final = b"\xef\xbb\xbf"


class Sort(Enum):
    """What a name in a folder stands for."""

    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


class Named(NamedTuple):
    """A name in a folder."""

    name: str
    sort: Sort


class AbsentError(Exception):
    """There is no such file."""


class UnreadError(Exception):
    """Why it was not read, in words (rule 3)."""

    def __init__(self, why: str, *, forbidden: bool = False) -> None:
        """Say why, and whether the system kept this process from it."""
        super().__init__(why)
        self.why = why
        self.forbidden = forbidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file that was read."""

    real: str
    """Where it is, without links."""
    seen: os.stat_result
    text: str = field(repr=False)


def open_text(path: str, within: str, *, most: int) -> Opened:
    """Read it.

    Args:
        path: An absolute path.
        within: The folder that is looked through, without links.
        most: Bytes.

    Raises:
        AbsentError: There is none.
        UnreadError: It was not read (rules 1 to 3).
    """
    real = _real(path, within)
    try:
        fd = _open(real)
    except OSError as error:
        raise _why(error) from None
    try:
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode):
            raise UnreadError("it is no regular file")
        raw = b"" if seen.st_size > most else _read(fd, most)
        if max(seen.st_size, len(raw)) > most:
            raise UnreadError(f"it is larger than {most:,} bytes")
    except OSError as error:
        raise _why(error) from None
    finally:
        os.close(fd)
    if b"\0" in raw:
        raise UnreadError("it is no text")
    try:
        return Opened(real=real, seen=seen, text=raw.removeprefix(_MARK).decode())
    except UnicodeDecodeError:
        raise UnreadError("it is no text") from None


def _read(fd: int, most: int) -> bytes:
    parts, left = [], most + 1
    while left > 0 and (part := os.read(fd, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _open(real: str) -> int:
    """A descriptor of a regular file (rules 1 and 2)."""
    with _above(real) as (folder, name):
        seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(seen.st_mode):  # a device may do something when it is only opened
            raise UnreadError("it is no regular file")
        return _open_quietly(name, _FLAGS, folder)


def _open_quietly(name: str, flags: int, folder: int) -> int:
    try:
        return os.open(name, flags | _QUIET, dir_fd=folder)
    except PermissionError:  # the instant of the last read is another's to keep
        return os.open(name, flags, dir_fd=folder)


@contextmanager
def _above(path: str) -> Iterator[tuple[int, str]]:
    """The folder that something is in, reached through no link, and its name there (rule 2)."""
    first, *folders, name = Path(path).parts
    fd = os.open(first, _STEP)
    try:
        for one in folders:
            try:
                inner = os.open(one, _STEP, dir_fd=fd)
            except (NotADirectoryError, FileNotFoundError):
                raise UnreadError("a folder above it was another one a moment ago") from None
            os.close(fd)
            fd = inner
        yield fd, name
    finally:
        os.close(fd)


def _real(path: str, within: str) -> str:
    """Where the path leads (rule 2)."""
    try:
        os.lstat(path)
        real = str(Path(path).resolve(strict=True))
    except OSError as error:
        raise _why(error) from None
    except RuntimeError:  # what Python before 3.13 raises for links that lead round
        raise UnreadError("it is a link that leads round") from None
    if real != within and not real.startswith(f"{within.rstrip('/')}/"):
        raise UnreadError("it is a link that leads out of the folder")
    return real


def _why(error: OSError) -> Exception:
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return AbsentError()
    if error.errno in {errno.EACCES, errno.EPERM}:
        return UnreadError("this account can't read it", forbidden=True)
    if error.errno == errno.ELOOP:
        return UnreadError("it is a link that leads round")
    return UnreadError("it can't be read")


def folder_names(path: str, *, most: int) -> tuple[list[Named], bool]:
    """What is in a folder, sorted by name, and whether that is all.

    Raises:
        UnreadError: It can't be looked into.
    """
    try:
        with _above(path) as (folder, name):
            fd = _open_quietly(name, _FLAGS | os.O_DIRECTORY, folder)
    except PermissionError:
        raise UnreadError("this account can't look into it", forbidden=True) from None
    except OSError:
        raise UnreadError("it can't be looked into") from None
    try:
        found: list[Named] = []
        with os.scandir(fd) as entries:
            for one in entries:
                if len(found) == most:
                    return _by_name(found), False
                found.append(Named(one.name, _sort(one)))
        return _by_name(found), True
    except OSError:
        raise UnreadError("it can't be looked into") from None
    finally:
        os.close(fd)


def _sort(one: os.DirEntry[str]) -> Sort:
    if one.is_symlink():
        return Sort.LINK
    return Sort.FOLDER if one.is_dir(follow_symlinks=False) else Sort.OTHER


def _by_name(found: list[Named]) -> list[Named]:
    return sorted(found, key=lambda one: one.name)
