"""The public key in a certificate, as the bytes that a pin is the hash of.

A few lines instead of a library for certificates, which this process is not to load: OpenSSL has read and
verified the certificate already, and only one field of it is cut out here (RFC 5280 section 4.1).
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_BEFORE: Final = 5
"""Serial number, algorithm, issuer, validity and subject stand before the key."""
_LONG: Final = 0x80


def key_hash(certificate: bytes) -> str:
    """The SHA-256 of a DER certificate's SubjectPublicKeyInfo, in lower-case hexadecimal.

    Raises:
        ValueError: It is no certificate.
    """
    start, end = _inside(certificate, 0, _SEQUENCE)
    at, end = _inside(certificate[:end], start, _SEQUENCE)
    if certificate[at] == _VERSION:
        at = _after(certificate, at)
    for _ in range(_BEFORE):
        at = _after(certificate, at)
    _inside(certificate, at, _SEQUENCE)
    found = certificate[at : _after(certificate, at)]
    if not found or at >= end:
        raise ValueError("the certificate holds no key")
    return sha256(found).hexdigest()


def _inside(data: bytes, at: int, tag: int) -> tuple[int, int]:
    """Where the content of the element at this place begins and ends."""
    if at + 1 >= len(data) or data[at] != tag:
        raise ValueError("the certificate is not built as one")
    return _content(data, at)


def _after(data: bytes, at: int) -> int:
    """Where the element behind the one at this place begins."""
    return _content(data, at)[1]


def _content(data: bytes, at: int) -> tuple[int, int]:
    if at + 1 >= len(data):
        raise ValueError("the certificate ends too early")
    size, start = data[at + 1], at + 2
    if size & _LONG:
        start += size & ~_LONG
        size = int.from_bytes(data[at + 2 : start], "big")
    if start + size > len(data):
        raise ValueError("the certificate ends too early")
    return start, start + size
