"""Claims that the daemon keeps for services on several machines.

Of `shared`:

1. Who began a request is known by a name that was drawn for that one beginning (*claimant*), and not by a
   machine, a process or a lock: none of these can be seen from here. The same claimant is told again that it
   has begun, as long as nothing was said of it, since the answer may have been lost. Nobody else ever is.
2. It says how long it takes at most. Until then a repeat is told that it is being done, and from then on that
   nobody knows: a time that is over gives no permission, whatever became of who began it.
3. What came of it is said by its claimant alone, and once; the same said again changes nothing. It may come
   after the time of rule 2: what was answered is true whenever it is heard.
4. A service has so many claims and so much room at once. What is begun holds room for the longest answer, so
   that what was begun can be answered, and what can't be kept is not begun.
5. Each change of a service's claims is counted. Who has seen the count go up to a number believes no store
   that has a lower one: claims of it were lost.
6. Services are apart by namespace and name, and the daemon knows both from their proof: no service can name
   another's claim.

Of `served`:

1. A service does one request for one transaction: who asks first has begun it, whatever process or thread.
2. The same again is told: what was answered; that it is still being done; or, where whoever did it is gone
   or could not say, that nobody knows. It is done again in no case.
3. Another request for the same transaction is refused, whatever became of the first.
4. An answer is kept whole up to a bound; of a longer one its status and its digest.
5. It is remembered until the token's end and the skew of clocks. What was forgotten leaves behind how far it
   was, and what ended by then is refused as if it had been done: a clock that is set back opens nothing.
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
    """What a service says of a claim can't be read."""

    code = "bad-claim"
    remedy = "use services and daemons of versions that go together"


class ClaimsFullError(UnavailableError):
    """A service has as many claims, or as much kept of its answers, as one may have."""

    code = "claims-full"
    remedy = "wait until some are forgotten, which is minutes after their tokens end; or answer with less"


class NotBegunError(DeniedError):
    """What came of a request is said by somebody who didn't begin it, or who has said it before."""

    code = "not-begun"
    remedy = "nothing: what is known of the request stays as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedClaim:
    """One request of a service that was begun."""

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
        """Bytes that it takes (rule 4)."""
        return LONGEST_ANSWER if self.state is ServedState.BEGUN else len(self.answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What is kept of one service."""

    namespace: str
    service: str
    turn: int
    """How often it changed (rule 5); 0 for a service of which nothing was ever kept."""
    claims: int
    room: int
    """Bytes (rule 4)."""
    forgotten: Instant
    """Until when the latest claim was remembered of those that were forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedWish:
    """One request that a service would begin."""

    txn: str
    token: str
    """The `jti` of the transaction token that it was shown."""
    request: str
    claimant: str = field(repr=False)
    takes: int
    """Seconds, of rule 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(NoTruth):
    """It was done, and this is what is kept of the answer."""

    answer: bytes = field(repr=False)


SharedBeginning: TypeAlias = Begun | Answered | StillServing | Unfinished
"""What whoever asks to begin a request is told."""

NOT_BEGUN: Final = "nobody who says so has begun that request, or it was said before"


def parse_wish(*, txn: str, token: str, request: str, claimant: str, takes: int) -> SharedWish:
    """What a service would begin, from what it says.

    Raises:
        BadClaimError: It can't be read.
    """
    require_named(txn, request, claimant)
    _require(_ID, token, "token")
    if not 1 <= takes <= MOST_TAKES:
        raise BadClaimError(f"a request takes 1 to {MOST_TAKES} seconds", where="takes")
    return SharedWish(txn=txn, token=token, request=request, claimant=claimant, takes=takes)


def require_named(txn: str, request: str, claimant: str) -> None:
    """Go on only with what can name a claim and who began it.

    Raises:
        BadClaimError: It can't.
    """
    _require(_ID, txn, "txn")
    _require(_REQUEST, request, "request")
    _require(_CLAIMANT, claimant, "claimant")


def parse_answer(raw: bytes) -> bytes:
    """What is kept of an answer.

    Raises:
        BadClaimError: It is nothing, or too long.
    """
    if not 1 <= len(raw) <= LONGEST_ANSWER:
        raise BadClaimError(f"1 to {LONGEST_ANSWER} bytes are kept of an answer", where="answer")
    return raw


def begun_anew(
    wish: SharedWish, namespace: str, service: str, *, until: Instant, now: Instant
) -> SharedClaim:
    """The claim of a request that nobody has begun before."""
    return SharedClaim(
        namespace=namespace,
        service=service,
        txn=wish.txn,
        request=wish.request,
        claimant=wish.claimant,
        until=until,
        still=Instant(now + seconds(wish.takes)),
    )


def shared_again(found: SharedClaim, wish: SharedWish, now: Instant) -> SharedBeginning:
    """What is told of a transaction that was used (rules 1 and 2).

    Raises:
        OtherRequestError: It was used for another request.
    """
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
    """The claim with what came of it (rule 3); None where that was said before.

    Args:
        found: As it is kept.
        claimant: Who says it.
        request: Of which request.
        answer: None where nobody knows what came of it.

    Raises:
        NotBegunError: Somebody else began it, nobody did, or something else was said of it.
    """
    if found is None or (found.claimant, found.request) != (claimant, request):
        raise NotBegunError(NOT_BEGUN)
    state = ServedState.LOST if answer is None else ServedState.ANSWERED
    if found.state is not ServedState.BEGUN:
        if (found.state, found.answer) != (state, answer or b""):
            raise NotBegunError(NOT_BEGUN)
        return None
    return replace(found, state=state, answer=answer or b"")


def make_room(tally: Tally, claim: SharedClaim) -> Tally:
    """The tally with one claim more (rule 4).

    Raises:
        ClaimsFullError: There is no room for it.
    """
    claims, room = tally.claims + 1, tally.room + claim.room
    if claims > MOST_CLAIMS or room > MOST_ROOM:
        raise ClaimsFullError(f"service `{tally.service}` has as much begun and answered as is kept of one")
    return replace(tally, turn=tally.turn + 1, claims=claims, room=room)


def swap_room(tally: Tally, before: SharedClaim, after: SharedClaim) -> Tally:
    """The tally once a claim has become another (rule 4)."""
    return replace(tally, turn=tally.turn + 1, room=tally.room - before.room + after.room)


def forget_claims(tally: Tally, gone: Iterable[tuple[Instant, int]]) -> Tally:
    """The tally without these, each by until when it was remembered and how much room it took."""
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
        raise BadClaimError(f"`{where}` is none that a service of ours would send", where=where)
