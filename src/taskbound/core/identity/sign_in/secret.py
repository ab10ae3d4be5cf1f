"""What a browser holds of a sign-in or a session, and what follows from it.

The browser that began a sign-in holds one secret, and from that and the state come the nonce and the
verifier of PKCE (RFC 7636): a row has digests, and who reads it can finish nothing.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from typing import Final

_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_SPACE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)


def secret_digest(secret: str) -> str:
    """The digest that stands for a secret in rows: SHA-256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def nonce_of(secret: str, state: str) -> str:
    """The nonce of a sign-in."""
    return _derived("nonce", secret, state)


def verifier_of(secret: str, state: str) -> str:
    """The verifier of a sign-in: 43 characters, as RFC 7636 §4.1 wants them."""
    return _derived("verifier", secret, state)


def challenge_of(verifier: str) -> str:
    """What is told of the verifier when a sign-in begins (S256)."""
    return _base64(hashlib.sha256(verifier.encode("ascii")).digest())


def split_secret(text: str) -> tuple[str, str]:
    """Namespace and secret of what a browser holds or an issuer brings back; empty when it is neither."""
    namespace, _, secret = text.partition(".")
    if _SPACE.fullmatch(namespace) is None or _SECRET.fullmatch(secret) is None:
        return "", ""
    return namespace, secret


def _derived(what: str, secret: str, state: str) -> str:
    return _base64(hashlib.sha256(f"taskbound {what} {secret} {state}".encode()).digest())


def _base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
