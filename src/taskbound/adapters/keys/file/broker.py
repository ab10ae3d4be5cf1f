"""The broker's key on the disk, and what it remembers of the store beside it.

    <directory>/       0700
        key.pem        0600   the private key (PKCS #8, PEM, not encrypted)
        broker.json    0600   the newest that the broker saw of the store
        lock           0600   held while a broker runs

Both are made together, so that a memory that has gone is missed: without one the store counts as restored. A
copy of it from a backup forgets what was seen since.
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
    """A broker's directory: its key, and its memory (`surfaces.broker.memory.Kept`)."""

    def read(self) -> bytes | None:
        """What was written last, whole; nothing where it has gone, or is longer than it can be.

        Raises:
            KeyUnusableError: Others can reach it.
        """
        try:
            return read_private(self._directory, _MEMORY, _LIMIT)
        except (KeyMissingError, KeyTornError):
            return None

    def write(self, data: bytes) -> None:
        """Replace it, durably.

        Raises:
            UnavailableError: It can't be made durable.
        """
        replace_private(self._directory, _MEMORY, data)


def create_broker_directory(path: Path, memory: bytes) -> str:
    """Make a new key with the memory of nothing; its public half, as base64url.

    Raises:
        KeyExistsError: There is something at that place already.
        KeyUnusableError: It can't be made there.
    """
    return create_sealing_directory(path, {_MEMORY: memory})
