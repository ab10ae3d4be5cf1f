"""Claims of a service that the daemon keeps for all of its machines, and how an answer is kept.

Of `shared`:

1. Each beginning draws a name of its own, and asks by it until it is answered, some seconds at most: what was
   lost on its way is asked for again by the same name, and only that name is told that it has begun. Where
   no answer comes nothing is done here; a repeat is told that it is being done, and then that nobody knows.
2. Who answers is whoever began it here, by that name. It is sent again where its answer was lost.
3. What serves once is not asked for again: whoever sent it makes another one.
4. Only the daemon's clock counts, so what this machine's says is of no matter here.
5. What the daemon says of why is told by its code: its words are for who runs the service.
6. Nothing is shared between threads but names, each put and taken by one step; a child of a fork has its
   parent's names and none of its requests, and the daemon takes one answer of the two.

Of `kept`:

1. A head in JSON with its length before it, then the body as it was. What is too long whole is kept without
   its body, as a long body is; a head that is too long by itself is kept by nobody.
2. A seal is AES-GCM with a nonce drawn for each answer, over which request it answers too: who keeps it can
   neither read it nor give it for another one. What a machine can't open is no answer: it has another key.
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


Asked: TypeAlias = BeginRequest | AnswerRequest | UseProof
"""What is asked of the daemon."""

_TURNS: Final = 3
_SURE: Final = frozenset({"claims-full", "too-many-requests"})
"""What the daemon can't do now, and says before it has done anything."""
_PATIENCE: Final = 5.0
"""Seconds after which nothing is sent again (rule 1)."""


class SharedClaims:
    """The claims of one service on several machines; safe from any thread."""

    def __init__(
        self,
        name: str,
        ask: Callable[[Asked], RequestRow | Done | Fault],
        *,
        takes: int = 30,
        seal: Seal | None = None,
    ) -> None:
        """Begin nothing yet.

        Args:
            name: The service's, which `ask` proves.
            ask: Asks the daemon in the service's name, and raises `UnavailableError` where no answer came.
            takes: Seconds that a request takes at most: a repeat is told that nobody knows from then on.
            seal: Seals answers, so that who keeps them can't read them; the same key on all machines.

        Raises:
            ClaimsUnavailableError: Nothing takes that long.
        """
        if not 1 <= takes <= MOST_TAKES:
            raise ClaimsUnavailableError(f"a request takes 1 to {MOST_TAKES} seconds, and not {takes}")
        self.name = name
        self._ask, self._takes, self._seal = ask, takes, seal
        self._begun: dict[tuple[str, str], str] = {}
        """Who began what, of what has no answer yet (rule 2)."""

    def begin(self, serving: Serving, now: Instant) -> Beginning:
        """Begin this request, durably; or what is known of it (`core.token.served`).

        Raises:
            OtherRequestError: The transaction was used for another one.
            ServedForgottenError: Nobody can tell any more.
            BeginRefusedError: The token or the service does not hold.
            ClaimsUnavailableError: The daemon can't be asked, or can't keep it.
        """
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
        """Keep what was answered to a request that was begun here.

        Raises:
            ClaimsUnavailableError: It can't be kept: then nobody knows what came of it.
        """
        kept = write_answer(answer, most=LONGEST_ANSWER, seal=self._seal, bound=_bound(serving))
        self._say(serving, b64encode(kept).decode("ascii"))

    def lose(self, serving: Serving) -> None:
        """Say of a request that was begun here that nobody knows what came of it.

        Raises:
            ClaimsUnavailableError: It can't be said, and is so all the same.
        """
        self._say(serving, "")

    def use(self, claim: Claim, now: Instant) -> None:
        """Use what serves once, such as a proof of a key (rule 3).

        Raises:
            ReplayedError: It was used before, or nobody can tell any more.
            ClaimsUnavailableError: The daemon can't be asked, or can't keep it.
        """
        del now  # 4
        try:
            found = self._ask(UseProof(kind=claim.kind.value, digest=claim.digest, until=claim.until))
        except UnavailableError as error:
            raise _unasked() from error
        if isinstance(found, Fault):
            raise _refusal(found)

    def close(self) -> None:
        """Say of what was begun and not answered here that nobody knows."""
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
        """What the daemon says; asked again where no answer came, or none that says what it did (rule 1)."""
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
    """Whether what was said leaves open what was done."""
    return isinstance(found, Fault) and found.family == "unavailable" and found.code not in _SURE


def _bound(serving: Serving) -> bytes:
    """Which request an answer is of, for a seal."""
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
    """What the daemon says no to, by our names (rule 5)."""
    match fault.code, fault.family:
        case "other-request", _:
            return OtherRequestError("the transaction was used for another request of this service")
        case "served-forgotten", _:
            return ServedForgottenError("whether the transaction was used is not known any more")
        case "replayed", "denied":
            return ReplayedError("this proof was used before, or nobody can tell any more")
        case code, "denied":
            return BeginRefusedError(f"the issuer lets nothing begin by the token: `{code}`")
        case code, _:
            return ClaimsUnavailableError(f"the daemon keeps no claim now: `{code}`")
