"""Certificates that stand one behind the other, cut apart as DER says how long each is (X.690 §8.1.3)."""

from __future__ import annotations

from typing import Final

from taskbound.core.identity.trust import MOST_AUTHORITIES, BadBundleError, BundleSizeError

_SEQUENCE: Final = 0x30
_LONG: Final = 0x80
_MOST_LENGTH: Final = 3


def split_certificates(raw: bytes) -> tuple[bytes, ...]:
    """Each certificate, in order and once.

    Raises:
        BadBundleError: Something else stands there, or it ends too early.
        BundleSizeError: There are more than are read.
    """
    found: dict[bytes, None] = {}
    at = 0
    while at < len(raw):
        end = _end(raw, at)
        found[raw[at:end]] = None
        at = end
        if len(found) > MOST_AUTHORITIES:
            raise BundleSizeError(f"the bundle has more than {MOST_AUTHORITIES} certificates")
    return tuple(found)


def _end(raw: bytes, at: int) -> int:
    head = raw[at : at + 2]
    if len(head) < 2 or head[0] != _SEQUENCE:  # noqa: PLR2004 -- a tag and a length
        raise BadBundleError("the bundle holds something that is no certificate")
    size, start = head[1], at + 2
    if size & _LONG:
        count = size & ~_LONG
        start += count
        if not 1 <= count <= _MOST_LENGTH:
            raise BadBundleError("the bundle holds something that is no certificate")
        size = int.from_bytes(raw[at + 2 : start])
    if start + size > len(raw):
        raise BadBundleError("the bundle ends within a certificate")
    return start + size
