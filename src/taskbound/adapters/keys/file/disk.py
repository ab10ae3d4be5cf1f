"""Private, durable files in directories held by one process.

1. A directory belongs to this user with mode 0700; a file to the same user with mode 0600 or 0400, one name
   and no link. Others are refused, not repaired.
2. A file is replaced by write, sync, rename, and sync of the directory; it is durable only after the last
   step.
3. One process at a time holds a directory.

A new directory is built beside its place and renamed, so it is complete or absent:

    <directory>/       0700
        key.pem        0600   the private key (PKCS #8, PEM, not encrypted)
        lock           0600   held while a process has it open
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from taskbound.ports.signer import SignerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType


_DIRECTORY_MODE: Final = 0o700
_FILE_MODES: Final = (0o600, 0o400)
_LOCK: Final = "lock"
_VISIBLE: Final = re.compile(rb"[!-~]+")


class KeyUnusableError(SignerUnavailableError):
    """The signing key on the disk is unusable."""

    code = "key-unusable"


class KeyMissingError(KeyUnusableError):
    """The key's directory, the key, or the signer's memory is missing."""

    code = "key-missing"
    remedy = (
        "put back all three from one backup, as a new key starts a new log; several daemons on one database"
        " have one signer (docs/guides/postgresql.md)"
    )


class KeyExposedError(KeyUnusableError):
    """Other accounts can access the key."""

    code = "key-exposed"
    remedy = "think of the key as stolen if others use this machine; else set mode 0700 and 0600"


class KeyForeignError(KeyUnusableError):
    """The key belongs to another user, or is not a regular file of its own."""

    code = "key-foreign"
    remedy = "run the signer as the user that owns its key"


class KeyTornError(KeyUnusableError):
    """The key or the signer's memory is damaged or incomplete."""

    code = "key-torn"
    remedy = "put back all three files from one backup; a new key starts a new log"


class KeyInUseError(KeyUnusableError):
    """Another signer holds the key."""

    code = "key-in-use"
    remedy = "stop the other signer first"


class KeyExistsError(KeyUnusableError):
    """The place for the new key is taken."""

    code = "key-exists"
    remedy = "name another directory; a key is never overwritten"


def open_directory(path: Path) -> int:
    """Returns a descriptor of a private directory (rule 1); raises a KeyUnusableError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    with _named(str(path)):
        descriptor = os.open(path, flags)
    try:
        _require_private(os.fstat(descriptor), str(path), (_DIRECTORY_MODE,))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def hold(directory: int) -> int:
    """Returns a descriptor that locks the directory (rule 3); raises KeyInUseError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with _named(_LOCK):
        descriptor = os.open(_LOCK, flags, 0o600, dir_fd=directory)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise KeyInUseError("another process holds the signing key") from error
    return descriptor


def read_private(directory: int, name: str, limit: int) -> bytes:
    """Reads a private file of at most ``limit`` bytes (rule 1)."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with _named(name):
        descriptor = os.open(name, flags, dir_fd=directory)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise KeyForeignError(f"`{name}` is not a file of its own")
            _require_private(found, name, _FILE_MODES)
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(limit + 1)
        finally:
            os.close(descriptor)
    if len(data) > limit:
        raise KeyTornError(f"`{name}` is longer than it can be")
    return data


def read_secret(path: Path, limit: int) -> str:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    with _named(str(path.parent)):
        folder = os.open(path.parent, flags)
    try:
        text = read_private(folder, path.name, limit).removesuffix(b"\n")
    except KeyMissingError as error:
        raise KeyMissingError(
            f"`{path}` is not there", remedy="make the file with what it is for, mode 0600"
        ) from error
    finally:
        os.close(folder)
    if _VISIBLE.fullmatch(text) is None:
        raise KeyTornError(
            f"`{path}` is not one line of visible characters", remedy="write what it is for, and a line's end"
        )
    return text.decode("ascii")


def write_new(directory: int, name: str, data: bytes) -> None:
    """Writes and syncs a new private file; the caller syncs the directory."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    _write(os.open(name, flags, 0o600, dir_fd=directory), data)


def replace_private(directory: int, name: str, data: bytes) -> None:
    """Replaces a file durably (rule 2); after an error either content may be there."""
    new = f"{name}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        _write(os.open(new, flags, 0o600, dir_fd=directory), data)
        os.replace(new, name, src_dir_fd=directory, dst_dir_fd=directory)
        sync(directory)
    except OSError as error:
        raise SignerUnavailableError(
            f"`{name}` can't be made durable: {error.strerror or 'no reason given'}",
            remedy="look after the disk that holds the signing key",
        ) from error


def sync(descriptor: int) -> None:
    """Syncs a descriptor to the disk itself."""
    full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync alone stops at the drive's cache
    if full is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, full)


def _write(descriptor: int, data: bytes) -> None:
    try:
        os.fchmod(descriptor, 0o600)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        sync(descriptor)
    finally:
        os.close(descriptor)


def _require_private(found: os.stat_result, name: str, modes: tuple[int, ...]) -> None:
    if found.st_uid != os.geteuid():
        raise KeyForeignError(f"`{name}` belongs to user {found.st_uid}, this process to {os.geteuid()}")
    mode = stat.S_IMODE(found.st_mode)
    if mode not in modes:
        raise KeyExposedError(f"`{name}` has mode {mode:04o}, not {modes[0]:04o}")


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise KeyMissingError(f"`{name}` is not there") from error
    except PermissionError as error:
        raise KeyForeignError(f"`{name}` can't be opened by this user") from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise KeyForeignError(f"`{name}` is a link, or not what it must be") from error
        raise KeyUnusableError(f"`{name}` can't be read: {error.strerror or 'no reason given'}") from error


KEY_FILE: Final = "key.pem"
_LIMIT: Final = 4096


class HeldDirectory(ABC):
    """An open directory with a key, held by this process until it is closed."""

    def __init__(self, path: Path) -> None:
        """Opens and locks the directory; raises a KeyUnusableError and repairs nothing."""
        self._directory = open_directory(path)
        self._held = -1
        try:
            self._held = hold(self._directory)
            self._read(read_private(self._directory, KEY_FILE, _LIMIT))
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _read(self, key: bytes) -> None:
        pass

    def close(self) -> None:
        for descriptor in (self._held, self._directory):
            if descriptor >= 0:
                os.close(descriptor)
        self._held = self._directory = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def make_directory(path: Path, files: Mapping[str, bytes]) -> None:
    """Creates a private directory with these files, atomically and durably; raises KeyExistsError."""
    try:
        if os.path.lexists(path):
            raise KeyExistsError(f"there is something at `{path}` already")
        beside = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise KeyUnusableError(f"no key can be made at `{path}`: {error.strerror}") from error
    try:
        _fill(beside, files)
        beside.rename(path)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        if os.path.lexists(path):
            raise KeyExistsError(f"there is something at `{path}` already") from error
        raise KeyUnusableError(f"no key can be made at `{path}`: {error.strerror}") from error
    try:
        _sync_path(path.parent)
    except OSError as error:
        raise KeyUnusableError(f"the key at `{path}` may not be durable: {error.strerror}") from error


def _fill(directory: Path, files: Mapping[str, bytes]) -> None:
    directory.chmod(0o700)
    descriptor = open_directory(directory)
    try:
        for name, data in files.items():
            write_new(descriptor, name, data)
        sync(descriptor)
    finally:
        os.close(descriptor)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
