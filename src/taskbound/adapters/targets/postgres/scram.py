"""The verifier of a password, as PostgreSQL keeps it: SCRAM-SHA-256 (RFC 5802, section 3; RFC 7677).

libpq makes the same, in four times the time, which is most of what a login costs. The passwords are our own,
of letters, digits, `-` and `_`, so that nothing is to be prepared (SASLprep) before it is hashed.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from typing import Final

ITERATIONS: Final = 4096
"""What RFC 7677 asks for at least, and drivers insist on."""
SALT: Final = 16
"""Bytes."""


def verifier_of(password: str, salt: bytes) -> str:
    """What stands in `CREATE ROLE … PASSWORD` for it: `SCRAM-SHA-256$4096:SALT$STORED:SERVER`."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, ITERATIONS)
    stored = hashlib.sha256(_mac(salted, b"Client Key")).digest()
    return f"SCRAM-SHA-256${ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(_mac(salted, b'Server Key'))}"


def _mac(key: bytes, words: bytes) -> bytes:
    return hmac.digest(key, words, "sha256")


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")
