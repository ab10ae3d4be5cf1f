"""A signing key on the disk: an Ed25519 key, the signer's memory, and the lock of whoever holds them.

    <directory>/       0700
        key.pem        0600   the private key (PKCS #8, PEM, not encrypted)
        signed.json    0600   what was about to be signed last, per log
        lock           0600   held while a signer runs

The directory is made beside its place and renamed into it, so it is there whole or not at all. A copy of
``signed.json`` from a backup forgets what was signed since: put it back only together with the log.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from taskbound.adapters.keys.ed25519 import Ed25519Key
from taskbound.adapters.keys.file.disk import (
    KeyExistsError,
    KeyTornError,
    KeyUnusableError,
    hold,
    open_directory,
    read_private,
    sync,
    write_new,
)
from taskbound.adapters.keys.file.heads import EMPTY_HEADS, HEADS_FILE, FileSignedHeads

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["KEY_FILE", "KeyDirectory", "create_key_directory", "make_directory"]

KEY_FILE: Final = "key.pem"
_LIMIT: Final = 4096


class KeyDirectory:
    """An open key directory, held by this process until it is closed."""

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
            self.key = _parse_key(read_private(self._directory, KEY_FILE, _LIMIT))
            self.heads = FileSignedHeads(self._directory)
            self.heads.read("")  # a memory that is gone or torn is found now, not at the first checkpoint
        except BaseException:
            self.close()
            raise

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


def create_key_directory(path: Path) -> bytes:
    """Make a new key, whole and durable or not at all; its public key.

    Raises:
        KeyExistsError: There is something at that place already.
        KeyUnusableError: It can't be made there.
    """
    key = Ed25519Key.generate()
    make_directory(path, {KEY_FILE: _render_key(key), HEADS_FILE: EMPTY_HEADS})
    return key.public


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


def _render_key(key: Ed25519Key) -> bytes:
    return key.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _parse_key(data: bytes) -> Ed25519Key:
    try:
        private = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise KeyTornError(f"`{KEY_FILE}` is not a whole private key") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyTornError(f"`{KEY_FILE}` is not an Ed25519 key")
    key = Ed25519Key(private)
    if _render_key(key) != data:
        raise KeyTornError(f"`{KEY_FILE}` holds more than a private key")
    return key
