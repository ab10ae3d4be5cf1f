"""The compact form of a signed token: one text for three byte strings.

Rules in order (RFC 7515 §3.1, §7.1):
1. The length limit comes before anything else.
2. Exactly two dots and no empty segment: no missing signature, no encrypted token.
3. Each segment is base64url that re-encodes to itself: no padding, other alphabet, line break or set unused
   bit (RFC 4648 §3.5).
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import field
from typing import Final

from taskbound.core.dataclass import dataclass
from taskbound.wire.jose.errors import TokenEncodingError, TokenSegmentsError, TokenSizeError

_SEGMENTS: Final = ("header", "payload", "signature")
_ALPHABET: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compact:
    """A text in three segments, decoded and unverified; no repr has it, because it is the token."""

    text: str = field(repr=False)
    header: bytes
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def signed(self) -> bytes:
        """Returns the signed bytes: the first two segments as written."""
        return self.text.rpartition(".")[0].encode("ascii")


def split_compact(text: str, *, size: int) -> Compact:
    """Splits a compact token.

    Raises TokenSizeError, TokenSegmentsError or TokenEncodingError (rules 1 to 3).
    """
    if len(text) > size:
        raise TokenSizeError(f"the token has {len(text)} characters; at most {size} are read")  # 1
    dots = text.count(".")
    segments = text.split(".", len(_SEGMENTS))
    if dots != len(_SEGMENTS) - 1 or not all(segments):
        raise TokenSegmentsError(f"the token has {dots + 1} segments, not three that are not empty")  # 2
    header, payload, signature = (
        _decode(segment, name) for segment, name in zip(segments, _SEGMENTS, strict=True)
    )
    return Compact(text=text, header=header, payload=payload, signature=signature)


def decode_base64url(text: str) -> bytes | None:
    """Returns the bytes of the canonical base64url text, or None (rule 3)."""
    if _ALPHABET.fullmatch(text) is None or len(text) % 4 == 1:
        return None
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return raw if encode_base64url(raw) == text else None


def encode_base64url(raw: bytes) -> str:
    """Returns base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decode(segment: str, name: str) -> bytes:
    raw = decode_base64url(segment)
    if raw is None:
        raise TokenEncodingError(f"the {name} is not base64url that re-encodes to itself", where=name)  # 3
    return raw
