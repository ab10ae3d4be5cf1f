"""`Content-Digest` of a request (RFC 9530), read as strictly as the structured field that it is (RFC 9651).

1. It is a dictionary of algorithms, each with a byte sequence, and with nothing else: no parameter, no
   value of another type. Lines of it are one field with commas between.
2. Whatever algorithm stands twice makes the field unreadable: of two readers one keeps the first.
3. `sha-256` is 32 bytes in the one base64 text that they have. Other algorithms are passed over (§2).
4. A field that says `sha-256` has to be of the bytes that came. One that doesn't say it says nothing.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.sdk.verify.errors import BadContentDigestError

if TYPE_CHECKING:
    from collections.abc import Sequence


ALGORITHM: Final = "sha-256"
_SIZE: Final = 32
_LONGEST: Final = 2_048
_MEMBER: Final = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):", re.ASCII)
_BETWEEN: Final = re.compile(r"[ \t]*,[ \t]*", re.ASCII)


def content_digest(body: bytes) -> str:
    """What a token and `Content-Digest` say of these bytes: `sha-256=:…:`."""
    return f"{ALGORITHM}=:{b64encode(sha256(body).digest()).decode('ascii')}:"


def parse_content_digest(values: Sequence[str]) -> bytes | None:
    """The SHA-256 that the lines of the field say (rules 1 to 3); None where they say none.

    Raises:
        BadContentDigestError: They can't be read.
    """
    text = ", ".join(values).strip(" ")
    if len(text) > _LONGEST:
        raise BadContentDigestError("`Content-Digest` is too long", where="content-digest")
    found: dict[str, str] = {}
    at, first = 0, True
    while at < len(text):
        if not first:
            between = _BETWEEN.match(text, at)
            if between is None:
                raise BadContentDigestError("`Content-Digest` is no dictionary", where="content-digest")
            at = between.end()
        member = _MEMBER.match(text, at)
        if member is None or member[1] in found:
            raise BadContentDigestError(
                "`Content-Digest` is no dictionary of byte sequences, or says an algorithm twice",
                where="content-digest",
            )  # 1, 2
        found[member[1]] = member[2]
        at, first = member.end(), False
    if values and not found:
        raise BadContentDigestError("`Content-Digest` is empty", where="content-digest")
    return _bytes(found[ALGORITHM]) if ALGORITHM in found else None


def require_digest(values: Sequence[str], body: bytes) -> None:
    """Go on only where the field, if it says anything, is of these bytes (rule 4).

    Raises:
        BadContentDigestError: It can't be read, or is of others.
    """
    said = parse_content_digest(values)
    if said is not None and said != sha256(body).digest():
        raise BadContentDigestError(
            "`Content-Digest` is of other bytes than those that came", where="content-digest"
        )


def _bytes(text: str) -> bytes:
    try:
        raw = b64decode(text, validate=True)
    except Error:
        raw = b""
    if len(raw) != _SIZE or b64encode(raw).decode("ascii") != text:
        raise BadContentDigestError("`sha-256` is no digest in base64", where="content-digest")  # 3
    return raw
