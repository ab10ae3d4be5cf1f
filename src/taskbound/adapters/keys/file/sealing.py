"""The egress' key on the disk: an X25519 key, and the lock of whoever holds it.

    <directory>/       0700
        key.pem        0600   the private key (PKCS #8, PEM, not encrypted)
        lock           0600   held while an egress runs

It is made, opened and refused as the signer's is (`directory`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from taskbound.adapters.keys.file.directory import KEY_FILE, make_directory
from taskbound.adapters.keys.file.disk import KeyTornError, hold, open_directory, read_private
from taskbound.adapters.keys.sealing import SealingKey

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

__all__ = ["SealingDirectory", "create_sealing_directory"]

_LIMIT: Final = 4096


class SealingDirectory:
    """An open directory, held by this process until it is closed."""

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


def create_sealing_directory(path: Path) -> str:
    """Make a new key, whole and durable or not at all; its public half, as base64url.

    Raises:
        KeyExistsError: There is something at that place already.
        KeyUnusableError: It can't be made there.
    """
    key = SealingKey.generate()
    make_directory(path, {KEY_FILE: _render_key(key)})
    return key.public


def _render_key(key: SealingKey) -> bytes:
    return key.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _parse_key(data: bytes) -> SealingKey:
    try:
        private = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise KeyTornError(f"`{KEY_FILE}` is not a whole private key") from error
    if not isinstance(private, X25519PrivateKey):
        raise KeyTornError(f"`{KEY_FILE}` is not an X25519 key")
    key = SealingKey(private)
    if _render_key(key) != data:
        raise KeyTornError(f"`{KEY_FILE}` holds more than a private key")
    return key
