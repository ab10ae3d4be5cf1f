"""Agents' keys in the signer's directory.

    <directory>/agents/        0700
        <kid>                  0600   namespace, agent and private key (PKCS #8, PEM), as JSON

1. A key is bound to its agent when it is made and signs no other agent's statement.
2. It signs only the agent's own statement (`iss`, `sub`), for one audience, with a unique id, valid for a
   minute by this process's clock. The caller chooses only the audience.
3. The `kid` is the key's thumbprint and the only name of the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import time
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from taskbound.adapters.keys.file.disk import (
    KeyMissingError,
    KeyTornError,
    KeyUnusableError,
    open_directory,
    read_private,
    sync,
    write_new,
)
from taskbound.core.action import canonical
from taskbound.core.clock import seconds
from taskbound.core.identity.agent import ASSERTION_LIFE, UnknownAgentKeyError, client_of
from taskbound.wire.jose import CLIENT_ASSERTION, Jwk, encode_base64url, parse_jwk, write_jws

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.core.action import JsonValue


_FOLDER: Final = "agents"
_LIMIT: Final = 4096
_KID: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class AgentKeyFiles:
    """The agents' keys; used by the process that holds the directory."""

    def __init__(self, directory: Path, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._directory = directory
        self._path = directory / _FOLDER

    def make_key(self, namespace: str, agent: str) -> bytes:
        """Creates a key durably; returns its public half."""
        key = generate_private_key(SECP256R1())
        public = _public(key)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        kept = canonical({"agent": agent, "key": pem.decode("ascii"), "namespace": namespace})
        try:
            if not self._path.is_dir():
                self._path.mkdir(mode=0o700, exist_ok=True)
                self._sync_parent()
            folder = open_directory(self._path)
            try:
                write_new(folder, public.kid, kept)
                sync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise KeyUnusableError(f"an agent's key can't be kept: {error.strerror}") from error
        return canonical({**public.members})

    def assert_agent(self, kid: str, audience: str) -> str:
        """Returns a statement of the key's agent (rules 1 and 2); raises UnknownAgentKeyError."""
        namespace, agent, key = self._read(kid)
        now = int(self._now())
        client = client_of(namespace, agent)
        said: dict[str, JsonValue] = {
            "aud": audience,
            "exp": now + ASSERTION_LIFE // seconds(1),
            "iat": now,
            "iss": client,
            "jti": secrets.token_urlsafe(24),
            "sub": client,
        }
        return write_jws(said, kind=CLIENT_ASSERTION, key=_public(key), sign=lambda raw: _sign(key, raw))

    def forget_key(self, kid: str) -> None:
        """Destroys the key, if it exists."""
        if _KID.fullmatch(kid) is None or not self._path.is_dir():
            return
        folder = open_directory(self._path)
        try:
            os.unlink(kid, dir_fd=folder)
            sync(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise KeyUnusableError(f"an agent's key can't be destroyed: {error.strerror}") from error
        finally:
            os.close(folder)

    def _read(self, kid: str) -> tuple[str, str, EllipticCurvePrivateKey]:
        if _KID.fullmatch(kid) is None or not self._path.is_dir():
            raise UnknownAgentKeyError("the signer has no such key")
        folder = open_directory(self._path)
        try:
            kept = json.loads(read_private(folder, kid, _LIMIT))
            key = serialization.load_pem_private_key(kept["key"].encode("ascii"), password=None)
            namespace, agent = kept["namespace"], kept["agent"]
        except KeyMissingError:
            raise UnknownAgentKeyError("the signer has no such key") from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise KeyTornError("an agent's key is not whole") from None
        finally:
            os.close(folder)
        named = isinstance(namespace, str) and isinstance(agent, str)
        if not isinstance(key, EllipticCurvePrivateKey) or not named:
            raise KeyTornError("an agent's key is not whole")
        if _public(key).kid != kid:
            raise KeyTornError("an agent's key is another one than its name says")
        return namespace, agent, key

    def _sync_parent(self) -> None:
        parent = open_directory(self._directory)
        try:
            sync(parent)
        finally:
            os.close(parent)


def _public(key: EllipticCurvePrivateKey) -> Jwk:
    numbers = key.public_key().public_numbers()
    point = {"crv": "P-256", "kty": "EC", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}
    kid = encode_base64url(hashlib.sha256(canonical({**point})).digest())
    return parse_jwk({**point, "alg": "ES256", "kid": kid, "use": "sig"})


def _coordinate(number: int) -> str:
    return encode_base64url(number.to_bytes(32))


def _sign(key: EllipticCurvePrivateKey, raw: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(raw, ECDSA(SHA256())))
    return r.to_bytes(32) + min(s, _ORDER - s).to_bytes(32)
