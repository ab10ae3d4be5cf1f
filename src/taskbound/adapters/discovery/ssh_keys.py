"""Private keys of SSH that need no passphrase. Only what says how a key is kept is read of it.

1. OpenSSH's own format names its cipher before anything secret: `none` is no passphrase
   (PROTOCOL.key in https://github.com/openssh/openssh-portable). A key of a device (`sk-…`) opens nothing
   without the device, and is none.
2. PEM says `ENCRYPTED` in its first line or in `Proc-Type`. PuTTY's says `Encryption: none`.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from typing import TYPE_CHECKING, Final

from taskbound.core.credential.static import Hit, SecretKind

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_ssh_key"]

_PEM: Final = re.compile(r"^-----BEGIN ([A-Z0-9 ]{0,40})PRIVATE KEY-----\s*$", re.MULTILINE)
_MAGIC: Final = b"openssh-key-v1\0"
_HEAD: Final = 4_096
_SIZE: Final = 4


def read_ssh_key(text: str) -> Iterator[Hit]:
    """The private key without a passphrase that the text is."""
    if text.startswith("PuTTY-User-Key-File-"):
        if re.search(r"^Encryption: none\s*$", text[:_HEAD], re.MULTILINE):
            yield Hit(line=1, what="SSH private key without a passphrase", kind=SecretKind.SSH)
        return
    found = _PEM.search(text)
    if found is None:
        return
    body = text[found.end() : found.end() + _HEAD]
    if found[1] == "OPENSSH ":
        is_open = _is_open(body)
    else:
        is_open = "ENCRYPTED" not in found[1] and "ENCRYPTED" not in body[:200]
    if is_open:
        line = text.count("\n", 0, found.start()) + 1
        yield Hit(line=line, what="SSH private key without a passphrase", kind=SecretKind.SSH)


def _is_open(body: str) -> bool:
    """Whether a key in OpenSSH's format needs neither a passphrase nor a device (rule 1)."""
    packed = "".join(body.partition("-----END")[0].split())
    try:
        raw = b64decode(packed[: len(packed) // 4 * 4], validate=True)
        if not raw.startswith(_MAGIC):
            return False
        cipher, at = _text(raw, len(_MAGIC))
        _, at = _text(raw, at)
        _, at = _text(raw, at)
        public, _ = _text(raw, at + _SIZE)
        kind, _ = _text(public, 0)
    except (binascii.Error, ValueError):
        return False
    return cipher == b"none" and not kind.startswith(b"sk-")


def _text(raw: bytes, at: int) -> tuple[bytes, int]:
    """A text with its length before it, and where the next begins."""
    start = at + _SIZE
    end = start + int.from_bytes(raw[at:start], "big")
    if len(raw) < end or end < start:
        raise ValueError("it ends within a text")
    return raw[start:end], end
