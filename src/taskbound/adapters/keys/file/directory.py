"""A directory that holds a private key: made whole, and held by one process.

    <directory>/       0700
        key.pem        0600   the private key (PKCS #8, PEM, not encrypted)
        lock           0600   held while a process has it open

It is made beside its place and renamed into it, so it is there whole or not at all.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from taskbound.adapters.keys.file.disk import (
    KeyExistsError,
    KeyUnusableError,
    hold,
    open_directory,
    read_private,
    sync,
    write_new,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType


KEY_FILE: Final = "key.pem"
_LIMIT: Final = 4096


class HeldDirectory(ABC):
    """An open directory with a key, held by this process until it is closed."""

    def __init__(self, path: Path) -> None:
        """Open it and hold it.

        Raises:
            KeyUnusableError: `KeyMissingError`, `KeyForeignError`, `KeyExposedError`, `KeyTornError` or
                `KeyInUseError`; nothing is mended.
        """
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
        """Read what is in it; its own process alone has it open.

        Raises:
            KeyUnusableError: It is not whole.
        """

    def close(self) -> None:
        """Let go of it."""
        for descriptor in (self._held, self._directory):
            if descriptor >= 0:
                os.close(descriptor)
        self._held = self._directory = -1

    def __enter__(self) -> Self:
        """The directory itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def make_directory(path: Path, files: Mapping[str, bytes]) -> None:
    """Make a private directory with these files, whole and durable or not at all.

    Raises:
        KeyExistsError: There is something at that place already.
        KeyUnusableError: It can't be made there.
    """
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
