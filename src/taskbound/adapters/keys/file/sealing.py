"""The egress' X25519 key on the disk.

<directory>/       0700
key.pem        0600   the private key (PKCS #8, PEM, not encrypted)
lock           0600   held while an egress runs
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from taskbound.adapters.keys.file.disk import KEY_FILE, HeldDirectory, KeyTornError, make_directory
from taskbound.adapters.keys.sealing import SealingKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


_NOTHING: Final[Mapping[str, bytes]] = MappingProxyType({})


class SealingDirectory(HeldDirectory):
    """The egress' key."""

    key: SealingKey

    def _read(self, key: bytes) -> None:
        self.key = _parse_key(key)


def create_sealing_directory(path: Path, beside: Mapping[str, bytes] = _NOTHING) -> str:
    """Creates a key and the files `beside` it, durably and atomically; returns the base64url public key."""
    key = SealingKey.generate()
    make_directory(path, {KEY_FILE: _render_key(key), **beside})
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
