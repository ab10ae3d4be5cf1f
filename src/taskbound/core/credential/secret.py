"""What a secret that is minted looks like: whoever scans for secrets finds it by its form.

1. It is `tbs_`, 256 bits as 43 characters of base64url, and the CRC-32 of both as 6: a scan takes it for
   nothing else, and nothing else for it.
2. The form is for finding one that lies where it shouldn't. It proves nothing: anybody can write one.
3. What finds one says where it stands, and never what it is.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from typing import Final
from zlib import crc32

SECRET_BYTES: Final = 32
_PREFIX: Final = "tbs_"
_BODY: Final = 43
_FORM: Final = re.compile(r"(?=(tbs_[A-Za-z0-9_-]{49}))")
"""Whatever stands around it: a database's file has fields without anything between them."""


def spell_secret(raw: bytes) -> str:
    """The secret that is made of this chance: 53 characters (rule 1).

    Args:
        raw: `SECRET_BYTES` bytes that nobody can guess.
    """
    if len(raw) != SECRET_BYTES:
        raise ValueError(f"a secret is made of {SECRET_BYTES} bytes")
    body = _PREFIX + _plain(raw)
    return body + _sum(body)


def find_secrets(text: str) -> tuple[int, ...]:
    """Where secrets of this form stand in a text: the place of the first character of each (rule 3)."""
    return tuple(found.start() for found in _FORM.finditer(text) if _fits(found[1]))


def _fits(text: str) -> bool:
    body = text[: len(_PREFIX) + _BODY]
    return text == body + _sum(body)


def _sum(body: str) -> str:
    return _plain(crc32(body.encode()).to_bytes(4, "big"))


def _plain(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
