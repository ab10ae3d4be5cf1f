"""An answer as it is given to whoever keeps it for repeats: one piece of bytes, sealed where a key is given.

1. A head in JSON with its length before it, then the body as it was. What is too long whole is kept without
   its body, as a long body is; a head that is too long by itself is kept by nobody.
2. A seal is AES-GCM with a nonce drawn for each answer, over which request it answers too: who keeps it can
   neither read it nor give it for another one. What a machine can't open is no answer: it has another key.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from taskbound.core.token.served import ClaimsUnavailableError, ServedAnswer

_LENGTH: Final = 4
_NONCE: Final = 12
_KEYS: Final = frozenset({16, 32})


class Seal:
    """A key that all machines of a service have, and nobody else (rule 2)."""

    def __init__(self, key: bytes) -> None:
        """Seal with these 16 or 32 bytes.

        Raises:
            ClaimsUnavailableError: They are not as many.
        """
        if len(key) not in _KEYS:
            raise ClaimsUnavailableError(
                "a key that seals answers has 16 or 32 bytes",
                remedy="make one with `openssl rand 32 > answers.key`, and give it to each machine",
            )
        self._cipher = AESGCM(key)

    def close(self, plain: bytes, bound: bytes) -> bytes:
        """What only `open` with the same key and the same bound bytes makes plain."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, plain, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """What was closed.

        Raises:
            ClaimsUnavailableError: It was not closed with this key, or for something else.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
        except (InvalidTag, ValueError) as error:
            raise ClaimsUnavailableError(
                "the answer that is kept can't be opened with this machine's key",
                remedy="give all machines of the service the same key",
            ) from error


def write_answer(answer: ServedAnswer, *, most: int, seal: Seal | None, bound: bytes) -> bytes:
    """The bytes that are kept (rule 1).

    Args:
        answer: What was answered.
        most: How many there may be.
        seal: Closes them; None for nothing.
        bound: Which request it answers.

    Raises:
        ClaimsUnavailableError: They are too many even without the body.
    """
    for one in (answer, replace(answer, body=None)):
        plain = _written(one)
        kept = plain if seal is None else seal.close(plain, bound)
        if len(kept) <= most:
            return kept
    raise ClaimsUnavailableError("the head of the answer is too long to be kept")


def read_answer(kept: bytes, *, seal: Seal | None, bound: bytes) -> ServedAnswer:
    """The answer of these bytes.

    Raises:
        ClaimsUnavailableError: They can't be opened, or are none that were written here.
    """
    plain = kept if seal is None else seal.open(kept, bound)
    try:
        return _read(plain)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ClaimsUnavailableError("the answer that is kept can't be read") from error


def _written(answer: ServedAnswer) -> bytes:
    head = json.dumps(
        {
            "status": answer.status,
            "headers": answer.headers,
            "digest": answer.digest,
            "length": answer.length,
            "whole": answer.body is not None,
        }
    ).encode("ascii")
    return len(head).to_bytes(_LENGTH, "big") + head + (answer.body or b"")


def _read(plain: bytes) -> ServedAnswer:
    end = _LENGTH + int.from_bytes(plain[:_LENGTH], "big")
    head, body = json.loads(plain[_LENGTH:end]), plain[end:]
    if head["whole"] and len(body) != head["length"]:
        raise ValueError("the body is not whole")
    return ServedAnswer(
        status=int(head["status"]),
        headers=tuple((str(name), str(value)) for name, value in head["headers"]),
        digest=str(head["digest"]),
        length=int(head["length"]),
        body=body if head["whole"] else None,
    )
