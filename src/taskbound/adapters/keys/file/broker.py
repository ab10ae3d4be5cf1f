"""The broker's key and its memory of the store.

    <directory>/       0700
        key.pem        0600   the private key (PKCS #8, PEM, not encrypted)
        broker.json    0600   the newest that the broker saw of the store
        lock           0600   held while a broker runs

Both are created together; without the memory the store counts as restored. A backup of it is out of date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.keys.file.disk import KeyMissingError, KeyTornError, read_private, replace_private
from taskbound.adapters.keys.file.sealing import SealingDirectory, create_sealing_directory

if TYPE_CHECKING:
    from pathlib import Path


_MEMORY: Final = "broker.json"
_LIMIT: Final = 65_536


class BrokerDirectory(SealingDirectory):
    """The broker's key and memory (`surfaces.broker.memory.Kept`)."""

    def read(self) -> bytes | None:
        """Returns the memory, or None if it is missing or too long; raises KeyUnusableError if exposed."""
        try:
            return read_private(self._directory, _MEMORY, _LIMIT)
        except (KeyMissingError, KeyTornError):
            return None

    def write(self, data: bytes) -> None:
        """Replaces the memory durably."""
        replace_private(self._directory, _MEMORY, data)


def create_broker_directory(path: Path, memory: bytes) -> str:
    """Creates a key with an empty memory; returns the public key as base64url."""
    return create_sealing_directory(path, {_MEMORY: memory})
