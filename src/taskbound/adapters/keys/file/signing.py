"""The log's signing key on the disk, and the signer's memory.

    <directory>/       0700
        key.pem        0600   the private key (PKCS #8, PEM, not encrypted)
        signed.json    0600   what was about to be signed last, per log
        lock           0600   held while a signer runs

A backup of ``signed.json`` is out of date; restore it only together with the log.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from taskbound.adapters.keys.ed25519 import Ed25519Key
from taskbound.adapters.keys.file.disk import (
    KEY_FILE,
    HeldDirectory,
    KeyTornError,
    make_directory,
    read_private,
    replace_private,
)
from taskbound.core.audit import EMPTY_ROOT, Checkpoint

if TYPE_CHECKING:
    from pathlib import Path


HEADS_FILE: Final = "signed.json"
EMPTY_HEADS: Final = b'{"logs":{},"v":1}\n'
"""The memory of a new key: it is made with the key, so that one that is gone is missed."""

_LIMIT: Final = 1024 * 1024
_ROOT: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class FileSignedHeads:
    """The signer's memory; the file is read each time."""

    def __init__(self, directory: int) -> None:
        self._directory = directory

    def read(self, origin: str) -> Checkpoint:
        """Returns the last checkpoint, of size 0 if there was no write; raises KeyUnusableError."""
        return self._load().get(origin, Checkpoint(origin=origin, size=0, root=EMPTY_ROOT))

    def write(self, checkpoint: Checkpoint) -> None:
        """Replaces the log's checkpoint durably; raises KeyUnusableError or SignerUnavailableError."""
        heads = {**self._load(), checkpoint.origin: checkpoint}
        replace_private(self._directory, HEADS_FILE, _render(heads))

    def _load(self) -> dict[str, Checkpoint]:
        return _parse(read_private(self._directory, HEADS_FILE, _LIMIT))


def _render(heads: dict[str, Checkpoint]) -> bytes:
    logs = {origin: {"root": one.root.hex(), "size": one.size} for origin, one in heads.items()}
    return json.dumps({"logs": logs, "v": 1}, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _parse(data: bytes) -> dict[str, Checkpoint]:
    try:
        logs = json.loads(data)["logs"]
        heads = {str(origin): _parse_head(str(origin), one) for origin, one in logs.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise KeyTornError(f"`{HEADS_FILE}` can't be read") from error
    if _render(heads) != data:
        raise KeyTornError(f"`{HEADS_FILE}` is not as it was written")
    return heads


def _parse_head(origin: str, value: dict[str, object]) -> Checkpoint:
    size, root = value["size"], value["root"]
    if type(size) is not int or not isinstance(root, str) or _ROOT.fullmatch(root) is None:
        raise KeyTornError(f"`{HEADS_FILE}` holds no checkpoint of `{origin[:128]!a}`")
    return Checkpoint(origin=origin, size=size, root=bytes.fromhex(root))


class KeyDirectory(HeldDirectory):
    """The signer's key and memory."""

    key: Ed25519Key
    heads: FileSignedHeads

    def _read(self, key: bytes) -> None:
        self.key = _parse_key(key)
        self.heads = FileSignedHeads(self._directory)
        self.heads.read("")  # a memory that is gone or torn is found now, not at the first checkpoint


def create_key_directory(path: Path) -> bytes:
    """Creates a key, atomically and durably; returns its public key."""
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
