"""A signing key on the disk: an Ed25519 key, the signer's memory, and the lock of whoever holds them.

    <directory>/       0700
        key.pem        0600   the private key (PKCS #8, PEM, not encrypted)
        signed.json    0600   what was about to be signed last, per log
        lock           0600   held while a signer runs

A copy of ``signed.json`` from a backup forgets what was signed since: put it back only together with the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from taskbound.adapters.keys.ed25519 import Ed25519Key
from taskbound.adapters.keys.file.directory import KEY_FILE, HeldDirectory, make_directory
from taskbound.adapters.keys.file.disk import KeyTornError
from taskbound.adapters.keys.file.heads import EMPTY_HEADS, HEADS_FILE, FileSignedHeads

if TYPE_CHECKING:
    from pathlib import Path


class KeyDirectory(HeldDirectory):
    """A signer's directory: its key, and what it was about to sign last."""

    key: Ed25519Key
    heads: FileSignedHeads

    def _read(self, key: bytes) -> None:
        self.key = _parse_key(key)
        self.heads = FileSignedHeads(self._directory)
        self.heads.read("")  # a memory that is gone or torn is found now, not at the first checkpoint


def create_key_directory(path: Path) -> bytes:
    """Make a new key, whole and durable or not at all; its public key.

    Raises:
        KeyExistsError: There is something at that place already.
        KeyUnusableError: It can't be made there.
    """
    key = Ed25519Key.generate()
    make_directory(path, {KEY_FILE: _render_key(key), HEADS_FILE: EMPTY_HEADS})
    return key.public


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
