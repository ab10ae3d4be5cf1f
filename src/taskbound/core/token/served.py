"""What a service did with a transaction token: a request is done once, and a repeat is told what came of it.

1. A service does one request for one transaction: who asks first has begun it, whatever process or thread.
2. The same again is told: what was answered; that it is still being done; or, where whoever did it is gone
   or could not say, that nobody knows. It is done again in no case.
3. Another request for the same transaction is refused, whatever became of the first.
4. An answer is kept whole up to a bound; of a longer one its status and its digest.
5. It is remembered until the token's end and the skew of clocks. What was forgotten leaves behind how far it
   was, and what ended by then is refused as if it had been done: a clock that is set back opens nothing.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from taskbound.core.clock import Instant


MAX_KEPT: Final = 262_144
"""Bytes of an answer that are kept (rule 4)."""


class OtherRequestError(DeniedError):
    """The transaction was used for another request of this service."""

    code = "other-request"
    remedy = "ask for another permit: each is for one request"


class ServedForgottenError(DeniedError):
    """Whether the transaction was used can't be told any more."""

    code = "served-forgotten"
    remedy = "set the clock of the service's machine right, and ask for another permit"


class BeginRefusedError(DeniedError):
    """Who keeps the claims says that the token, or the service, does not hold any more."""

    code = "begin-refused"
    remedy = (
        "ask for another permit; where the service is not registered for the tool, have its owner see to that"
    )


class ClaimsUnavailableError(UnavailableError):
    """What was done can't be read or written, so nothing is done."""

    code = "claims-unavailable"
    remedy = (
        "look at the file of claims, its folder and the space on its disk, or whether the daemon that keeps"
        " them is reached; then send the same again"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One request that a service is to do for a transaction."""

    verifier: str
    """The service's own name: several services may see one transaction, each once."""
    txn: str
    request: str
    """What the request is, as a digest (`request_digest`)."""
    until: Instant
    """Until when it is remembered (rule 5)."""
    token: str = ""
    """The `jti` of the token that it came with: whoever keeps claims beside the tokens knows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAnswer:
    """What was answered."""

    status: int
    """Of HTTP; 200 of a function's result."""
    headers: tuple[tuple[str, str], ...]
    digest: str
    """SHA-256 of the whole body, in hexadecimal."""
    length: int
    """Bytes of the whole body."""
    body: bytes | None = field(repr=False)
    """None where it is longer than what is kept (rule 4)."""


class ServedState(Enum):
    """How a request stands."""

    BEGUN = "begun"
    ANSWERED = "answered"
    LOST = "lost"
    """Who did it could not say what came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A request as it is remembered."""

    request: str
    state: ServedState
    answer: ServedAnswer | None = None
    lives: bool = False
    """Whether who began it still runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun(NoTruth):
    """Nobody did it before: whoever is told this does it, and says what came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated(NoTruth):
    """It was done, and this is what was answered."""

    answer: ServedAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class StillServing(NoTruth):
    """It is being done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished(NoTruth):
    """It was begun, and nobody knows what came of it."""


Beginning: TypeAlias = Begun | Repeated | StillServing | Unfinished
"""What whoever asks to do a request is told."""


def request_digest(*parts: str) -> str:
    """The digest of what makes a request one of a kind, each part with its length."""
    digest = sha256()
    for part in parts:
        each = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(each))
        digest.update(each)
    return digest.hexdigest()


def again(found: Served, serving: Serving) -> Repeated | StillServing | Unfinished:
    """What is told to whoever asks for a transaction that was used (rules 2 and 3).

    Raises:
        OtherRequestError: It was used for another request.
    """
    if found.request != serving.request:
        raise OtherRequestError("the transaction was used for another request of this service")  # 3
    if found.answer is not None and found.state is ServedState.ANSWERED:
        return Repeated(answer=found.answer)
    if found.state is ServedState.BEGUN and found.lives:
        return StillServing()
    return Unfinished()


def require_remembered(until: Instant, forgotten: Instant) -> None:
    """Go on only with what would still be remembered (rule 5).

    Args:
        until: Until when it is.
        forgotten: The latest such instant of all that was forgotten.

    Raises:
        ServedForgottenError: It may have been done, and be forgotten.
    """
    if until <= forgotten:
        raise ServedForgottenError("whether the transaction was used is not known any more")
