"""Claims that the daemon keeps for all machines of a service, and the format of kept answers.

Of `shared`:

1. Each begin draws an id and retries with it for some seconds, so that a lost answer is repeated and only
   this id learns that it has begun. Without an answer the service does nothing; a repeated request learns
   that it is in progress, and later that its outcome is unknown.
2. Only the process that began a request answers it, by that id. A lost acknowledgment is retried.
3. One-time claims are not retried: the sender makes a new proof.
4. Only the daemon's clock counts.
5. Reasons come from the daemon's error codes; its texts are for the service's operator.
6. Threads share only ids, each stored and removed atomically. A forked child has its parent's ids and none
   of its requests; the daemon accepts one of the two answers.

Of `kept`:

1. A JSON head with a length prefix, then the body. If both exceed the limit, the body is omitted; a head
   that exceeds it alone is refused.
2. A seal is AES-GCM with a random nonce per answer and the request as associated data: the daemon can
   neither read an answer nor return it for another request. An answer that can't be opened is invalid.
"""

from __future__ import annotations

import json
import secrets
import time
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from taskbound.core.errors import UnavailableError
from taskbound.core.token import ReplayedError
from taskbound.core.token.shared import (
    LONGEST_ANSWER,
    MOST_TAKES,
    BeginRefusedError,
    Begun,
    ClaimsUnavailableError,
    OtherRequestError,
    Repeated,
    ServedAnswer,
    ServedForgottenError,
    StillServing,
    Unfinished,
    request_digest,
)
from taskbound.wire.connection import Done, Fault
from taskbound.wire.workload import AnswerRequest, BeginRequest, RequestRow, UseProof

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.clock import Instant
    from taskbound.core.token import Claim
    from taskbound.core.token.shared import Beginning, Serving


_LENGTH: Final = 4
_NONCE: Final = 12
_KEYS: Final = frozenset({16, 32})


class Seal:
    """An encryption key that only the machines of a service have (rule 2)."""

    def __init__(self, key: bytes) -> None:
        """Raises ClaimsUnavailableError unless the key has 16 or 32 bytes."""
        if len(key) not in _KEYS:
            raise ClaimsUnavailableError(
                "a key that seals answers has 16 or 32 bytes",
                remedy="make one with `openssl rand 32 > answers.key`, and give it to each machine",
            )
        self._cipher = AESGCM(key)

    def close(self, plain: bytes, bound: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, plain, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """Decrypts; raises ClaimsUnavailableError for another key or other associated data."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
        except (InvalidTag, ValueError) as error:
            raise ClaimsUnavailableError(
                "the answer that is kept can't be opened with this machine's key",
                remedy="give all machines of the service the same key",
            ) from error


def write_answer(answer: ServedAnswer, *, most: int, seal: Seal | None, bound: bytes) -> bytes:
    """Encodes an answer within `most` bytes (rule 1), sealed for the request `bound` if there is a seal."""
    for one in (answer, replace(answer, body=None)):
        plain = _written(one)
        kept = plain if seal is None else seal.close(plain, bound)
        if len(kept) <= most:
            return kept
    raise ClaimsUnavailableError("the head of the answer is too long to be kept")


def read_answer(kept: bytes, *, seal: Seal | None, bound: bytes) -> ServedAnswer:
    """Decodes an answer; raises ClaimsUnavailableError if it can't be opened or wasn't written here."""
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


Asked: TypeAlias = BeginRequest | AnswerRequest | UseProof
"""What is asked of the daemon."""

_TURNS: Final = 3
_SURE: Final = frozenset({"claims-full", "too-many-requests"})
"""What the daemon can't do now, and says before it has done anything."""
_PATIENCE: Final = 5.0
"""Seconds after which nothing is sent again (rule 1)."""


class SharedClaims:
    """The claims of one service on several machines; thread-safe."""

    def __init__(
        self,
        name: str,
        ask: Callable[[Asked], RequestRow | Done | Fault],
        *,
        takes: int = 30,
        seal: Seal | None = None,
    ) -> None:
        """After `takes` seconds an outcome is unknown; all machines share the key of `seal`."""
        if not 1 <= takes <= MOST_TAKES:
            raise ClaimsUnavailableError(f"a request takes 1 to {MOST_TAKES} seconds, and not {takes}")
        self.name = name
        self._ask, self._takes, self._seal = ask, takes, seal
        self._begun: dict[tuple[str, str], str] = {}
        """Who began what, of what has no answer yet (rule 2)."""

    def begin(self, serving: Serving, now: Instant) -> Beginning:
        """Begins this request durably, or returns what is known of it (`core.token.served`)."""
        del now  # 4
        if serving.verifier != self.name:
            raise ClaimsUnavailableError(f"these are the claims of `{self.name}`, and of no other service")
        claimant = secrets.token_urlsafe(24)
        found = self._asked(
            BeginRequest(
                txn=serving.txn,
                token=serving.token,
                request=serving.request,
                claimant=claimant,
                takes=self._takes,
            )
        )
        if isinstance(found, Fault):
            raise _refusal(found)
        if not isinstance(found, RequestRow):
            raise ClaimsUnavailableError("the daemon's answer says nothing of the request")
        return self._told(found, serving, claimant)

    def answer(self, serving: Serving, answer: ServedAnswer) -> None:
        kept = write_answer(answer, most=LONGEST_ANSWER, seal=self._seal, bound=_bound(serving))
        self._say(serving, b64encode(kept).decode("ascii"))

    def lose(self, serving: Serving) -> None:
        """Reports the request's outcome as unknown; raises ClaimsUnavailableError, with the same effect."""
        self._say(serving, "")

    def use(self, claim: Claim, now: Instant) -> None:
        del now  # 4
        try:
            found = self._ask(UseProof(kind=claim.kind.value, digest=claim.digest, until=claim.until))
        except UnavailableError as error:
            raise _unasked() from error
        if isinstance(found, Fault):
            raise _refusal(found)

    def close(self) -> None:
        for (verifier, txn), word in list(self._begun.items()):
            self._begun.pop((verifier, txn), None)
            claimant, _, request = word.partition(" ")
            with suppress(UnavailableError):  # it is so all the same
                self._ask(AnswerRequest(txn=txn, request=request, claimant=claimant))

    def _told(self, found: RequestRow, serving: Serving, claimant: str) -> Beginning:
        match found.state:
            case "begun":
                self._begun[serving.verifier, serving.txn] = f"{claimant} {serving.request}"
                return Begun()
            case "answered":
                kept = _kept(found.answer)
                return Repeated(answer=read_answer(kept, seal=self._seal, bound=_bound(serving)))
            case "still":
                return StillServing()
            case "unknown":
                return Unfinished()
            case _:
                raise ClaimsUnavailableError("the daemon says of the request what is not known here")

    def _say(self, serving: Serving, answer: str) -> None:
        word = self._begun.pop((serving.verifier, serving.txn), "")
        claimant, _, request = word.partition(" ")
        if not claimant or request != serving.request:
            raise ClaimsUnavailableError("what was answered belongs to no request that was begun here")
        found = self._asked(AnswerRequest(txn=serving.txn, request=request, claimant=claimant, answer=answer))
        if isinstance(found, Fault):
            raise ClaimsUnavailableError(f"the daemon does not keep what was answered: `{found.code}`")

    def _asked(self, ask: BeginRequest | AnswerRequest) -> RequestRow | Done | Fault:
        since, turn = time.monotonic(), 1
        while True:
            last = turn == _TURNS or time.monotonic() - since > _PATIENCE
            try:
                found = self._ask(ask)
            except UnavailableError as error:
                if last:
                    raise _unasked() from error
            else:
                if last or not _open(found):
                    return found
            turn += 1


def _open(found: RequestRow | Done | Fault) -> bool:
    return isinstance(found, Fault) and found.family == "unavailable" and found.code not in _SURE


def _bound(serving: Serving) -> bytes:
    return request_digest(serving.verifier, serving.txn, serving.request).encode()


def _kept(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise ClaimsUnavailableError("the answer that is kept can't be read") from error


def _unasked() -> ClaimsUnavailableError:
    return ClaimsUnavailableError("the daemon that keeps the claims can't be asked")


def _refusal(
    fault: Fault,
) -> OtherRequestError | ServedForgottenError | ReplayedError | BeginRefusedError | ClaimsUnavailableError:
    match fault.code, fault.family:
        case "other-request", _:
            return OtherRequestError("the transaction was used for another request of this service")
        case "served-forgotten", _:
            return ServedForgottenError("whether the transaction was used is not known any more")
        case "replayed", "denied":
            return ReplayedError("this proof was used before, or its use can no longer be checked")
        case code, "denied":
            return BeginRefusedError(f"the issuer lets nothing begin by the token: `{code}`")
        case code, _:
            return ClaimsUnavailableError(f"the daemon keeps no claim now: `{code}`")
