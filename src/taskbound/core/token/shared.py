"""Claims on transactions that the daemon keeps for services on several machines.

Of `shared`:

1. A *claimant* is a random name per start of a request. It may ask again, if the answer was lost, until it
   reports a result; no other claimant may begin.
2. The claim states its maximum duration. Until then a repeat gets "in progress", afterwards
   "outcome unknown"; it is never permitted again.
3. Only its claimant reports the result, once and idempotently, also after the time of rule 2.
4. A service has limits on claims and bytes. A begun claim reserves room for the longest answer.
5. Changes are counted per service; a client refuses a store with a lower count than it saw, because claims
   were lost.
6. Services are separated by authenticated namespace and name.

Of `served`:

1. A service performs one request per transaction; the first asker begins it.
2. A repeat gets the answer, the notice that it is in progress, or that its outcome is unknown.
3. Another request for the same transaction is refused.
4. Answers are kept up to a size; of longer ones status and digest.
5. Entries are kept until the token's expiry plus clock skew. Forgetting records up to when, and earlier ones
   are refused as done.
"""

from __future__ import annotations

import re
from dataclasses import field, replace
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError, UnavailableError
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterable


MAX_KEPT: Final = 262_144
"""Bytes of an answer that are kept (rule 4)."""


class OtherRequestError(DeniedError):
    """The transaction was used for another request of this service."""

    code = "other-request"
    remedy = "ask for another permit: each is for one request"


class ServedForgottenError(DeniedError):
    """The record of whether the transaction was used is no longer kept."""

    code = "served-forgotten"
    remedy = "set the clock of the service's machine right, and ask for another permit"


class BeginRefusedError(DeniedError):
    """The keeper of claims refuses: the token or the service is no longer valid."""

    code = "begin-refused"
    remedy = (
        "ask for another permit; where the service is not registered for the tool, have its owner see to that"
    )


class ClaimsUnavailableError(UnavailableError):
    """Claims cannot be read or written, so the request is not performed."""

    code = "claims-unavailable"
    remedy = (
        "look at the file of claims, its folder and the space on its disk, or whether the daemon that keeps"
        " them is reached; then send the same again"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One request that a service is to perform for a transaction."""

    verifier: str
    """The service's own name: several services may see one transaction, each once."""
    txn: str
    request: str
    """What the request is, as a digest (`request_digest`)."""
    until: Instant
    """Until when it is remembered (rule 5)."""
    token: str = ""
    """The `jti` of the request's token, which the keeper of the claims looks up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAnswer:
    """The answer to a request."""

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
    """State of a request."""

    BEGUN = "begun"
    ANSWERED = "answered"
    LOST = "lost"
    """Who did it could not say what came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A stored request."""

    request: str
    state: ServedState
    answer: ServedAnswer | None = None
    lives: bool = False
    """Whether who began it still runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun(NoTruth):
    """The first use: the caller performs the request and reports its result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated(NoTruth):
    """The request was performed, with this answer."""

    answer: ServedAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class StillServing(NoTruth):
    """The request is in progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished(NoTruth):
    """The request was begun and its outcome is unknown."""


Beginning: TypeAlias = Begun | Repeated | StillServing | Unfinished
"""The reply to a request to begin."""


def request_digest(*parts: str) -> str:
    """The digest of a request's identifying parts, length-prefixed."""
    digest = sha256()
    for part in parts:
        each = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(each))
        digest.update(each)
    return digest.hexdigest()


def again(found: Served, serving: Serving) -> Repeated | StillServing | Unfinished:
    if found.request != serving.request:
        raise OtherRequestError("the transaction was used for another request of this service")  # 3
    if found.answer is not None and found.state is ServedState.ANSWERED:
        return Repeated(answer=found.answer)
    if found.state is ServedState.BEGUN and found.lives:
        return StillServing()
    return Unfinished()


def require_remembered(until: Instant, forgotten: Instant) -> None:
    """Raises ServedForgottenError if `until` is not after the last forgotten instant."""
    if until <= forgotten:
        raise ServedForgottenError("whether the transaction was used is not known any more")


LONGEST_ANSWER: Final = MAX_KEPT + 65_536
"""Bytes of one answer as it is kept, with its head and whatever seals it."""
MOST_ROOM: Final = 268_435_456
"""Bytes that one service's answers take at once (rule 4): of 819 requests that are being done, or more."""
MOST_CLAIMS: Final = 131_072
"""Claims of one service that are remembered at once (rule 4)."""
MOST_TAKES: Final = 600
"""Seconds that a request may be said to take (rule 2)."""
_CLAIMANT: Final = re.compile(r"[A-Za-z0-9_-]{22,64}", re.ASCII)
_REQUEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ID: Final = re.compile(r"[!-~]{1,128}", re.ASCII)


class BadClaimError(MalformedError):
    """A service's statement about a claim is malformed."""

    code = "bad-claim"
    remedy = "use services and daemons of versions that go together"


class ClaimsFullError(UnavailableError):
    """The service has reached its limit on claims or stored answers."""

    code = "claims-full"
    remedy = "wait until some are forgotten, which is minutes after their tokens end; or answer with less"


class NotBegunError(DeniedError):
    """The result is from another claimant, or differs from the reported one."""

    code = "not-begun"
    remedy = "nothing: what is known of the request stays as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedClaim:
    """One begun request of a service."""

    namespace: str
    service: str
    """Its plain name (rule 6)."""
    txn: str
    request: str
    """The digest of what the request is."""
    claimant: str = field(repr=False)
    """Who began it (rule 1)."""
    until: Instant
    """Until when it is remembered."""
    still: Instant
    """Until when it may be being done (rule 2)."""
    state: ServedState = ServedState.BEGUN
    answer: bytes = field(default=b"", repr=False)
    """What was answered, as the service's own machines write it; nothing here reads it."""

    @property
    def room(self) -> int:
        return LONGEST_ANSWER if self.state is ServedState.BEGUN else len(self.answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Totals of one service."""

    namespace: str
    service: str
    turn: int
    """The count of changes (rule 5); 0 for a new service."""
    claims: int
    room: int
    """Bytes (rule 4)."""
    forgotten: Instant
    """Until when the latest claim was remembered of those that were forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRequest:
    """A request that a service wants to begin."""

    txn: str
    token: str
    """The `jti` of the transaction token that it was shown."""
    request: str
    claimant: str = field(repr=False)
    takes: int
    """Seconds, of rule 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(NoTruth):
    """The request was performed; this is the stored answer."""

    answer: bytes = field(repr=False)


SharedBeginning: TypeAlias = Begun | Answered | StillServing | Unfinished
"""The reply to a request to begin."""

NOT_BEGUN: Final = "this claimant did not begin that request, or has already reported its result"


def parse_wish(*, txn: str, token: str, request: str, claimant: str, takes: int) -> SharedRequest:
    require_named(txn, request, claimant)
    _require(_ID, token, "token")
    if not 1 <= takes <= MOST_TAKES:
        raise BadClaimError(f"a request takes 1 to {MOST_TAKES} seconds", where="takes")
    return SharedRequest(txn=txn, token=token, request=request, claimant=claimant, takes=takes)


def require_named(txn: str, request: str, claimant: str) -> None:
    """Raises BadClaimError unless the texts can name a claim and its claimant."""
    _require(_ID, txn, "txn")
    _require(_REQUEST, request, "request")
    _require(_CLAIMANT, claimant, "claimant")


def parse_answer(raw: bytes) -> bytes:
    if not 1 <= len(raw) <= LONGEST_ANSWER:
        raise BadClaimError(f"1 to {LONGEST_ANSWER} bytes are kept of an answer", where="answer")
    return raw


def begun_anew(
    wish: SharedRequest, namespace: str, service: str, *, until: Instant, now: Instant
) -> SharedClaim:
    return SharedClaim(
        namespace=namespace,
        service=service,
        txn=wish.txn,
        request=wish.request,
        claimant=wish.claimant,
        until=until,
        still=Instant(now + seconds(wish.takes)),
    )


def shared_again(found: SharedClaim, wish: SharedRequest, now: Instant) -> SharedBeginning:
    if found.request != wish.request:
        raise OtherRequestError("the transaction was used for another request of this service")
    match found.state:
        case ServedState.ANSWERED:
            return Answered(answer=found.answer)
        case ServedState.BEGUN if found.claimant == wish.claimant:
            return Begun()  # 1
        case ServedState.BEGUN if now < found.still:
            return StillServing()  # 2
        case _:
            return Unfinished()


def say(found: SharedClaim | None, claimant: str, request: str, answer: bytes | None) -> SharedClaim | None:
    """The claim with its result, None on repetition; `answer` None means unknown outcome."""
    if found is None or (found.claimant, found.request) != (claimant, request):
        raise NotBegunError(NOT_BEGUN)
    state = ServedState.LOST if answer is None else ServedState.ANSWERED
    if found.state is not ServedState.BEGUN:
        if (found.state, found.answer) != (state, answer or b""):
            raise NotBegunError(NOT_BEGUN)
        return None
    return replace(found, state=state, answer=answer or b"")


def make_room(tally: Tally, claim: SharedClaim) -> Tally:
    claims, room = tally.claims + 1, tally.room + claim.room
    if claims > MOST_CLAIMS or room > MOST_ROOM:
        raise ClaimsFullError(f"service `{tally.service}` has as much begun and answered as is kept of one")
    return replace(tally, turn=tally.turn + 1, claims=claims, room=room)


def swap_room(tally: Tally, before: SharedClaim, after: SharedClaim) -> Tally:
    """The tally after a claim was replaced."""
    return replace(tally, turn=tally.turn + 1, room=tally.room - before.room + after.room)


def forget_claims(tally: Tally, gone: Iterable[tuple[Instant, int]]) -> Tally:
    """The tally without these claims, each given by its retention end and size."""
    found = list(gone)
    return replace(
        tally,
        turn=tally.turn + 1,
        claims=tally.claims - len(found),
        room=tally.room - sum(room for _, room in found),
        forgotten=max([tally.forgotten, *(until for until, _ in found)]),
    )


def _require(form: re.Pattern[str], text: str, where: str) -> None:
    if form.fullmatch(text) is None:
        raise BadClaimError(f"`{where}` is not of a form that services send", where=where)
