"""What was answered to somebody under a key of theirs: a request that is sent again is not done again.

1. A key is its principal's, within a namespace; another one's key of the same text is another key.
2. It stands for one request: another one under it is refused, and never taken for the first.
3. It is written before the request is done, and its answer after. One without an answer is of a request of
   which nobody knows what became, and is not done again (law 7).
4. It is kept for a day. What comes after that is a new request.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action.presentation import KeyReusedError
from taskbound.core.clock import Instant, hours
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError

if TYPE_CHECKING:
    from taskbound.core.identity.proof import Principal


KEPT: Final = hours(24)
KEY_LENGTH: Final = 128
"""Characters."""
_KEY: Final = re.compile(rf"[!-~]{{1,{KEY_LENGTH}}}", re.ASCII)


class BadRequestKeyError(MalformedError):
    """The key of a request can't be one."""

    code = "bad-request-key"
    remedy = (
        f"send 1 to {KEY_LENGTH} visible ASCII characters as `Idempotency-Key`, new for each thing"
        " that is to be done"
    )


class AnswerUnknownError(DeniedError):
    """A request with this key came before, and nobody knows what became of it."""

    code = "answer-unknown"
    remedy = "look at what it was to change; then send it under a new key if it was not done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One key, and what was answered under it."""

    namespace: str
    principal: str
    """Its kind and name."""
    key: str
    """SHA-256 of the key, hexadecimal."""
    request: str
    """SHA-256 of what was asked, hexadecimal."""
    until: Instant
    """When it is forgotten (rule 4)."""
    answer: str = ""
    """The answer's text; empty while none is known (rule 3)."""


def parse_request_key(text: str) -> str:
    """The key of a request, as it may be.

    Raises:
        BadRequestKeyError: It can't be one.
    """
    if _KEY.fullmatch(text) is None:
        raise BadRequestKeyError("the key of the request is empty, too long, or has other characters")
    return text


def answered_of(principal: Principal, key: str, request: bytes, *, now: Instant) -> Answered:
    """What stands for this request under this key, before it is answered.

    Raises:
        BadRequestKeyError: The key can't be one.
    """
    key = parse_request_key(key)
    return Answered(
        namespace=principal.namespace,
        principal=f"{principal.kind.value} {principal.name}",
        key=sha256(key.encode("ascii")).hexdigest(),
        request=sha256(request).hexdigest(),
        until=Instant(now + KEPT),
    )


def answer_to(asked: Answered, known: Answered) -> str:
    """The answer that this request had before (rules 2 and 3).

    Raises:
        KeyReusedError: It was another request.
        AnswerUnknownError: Nobody knows what became of it.
    """
    if asked.request != known.request:
        raise KeyReusedError("the key of the request is that of another one")
    if not known.answer:
        raise AnswerUnknownError("a request with this key came before, and what became of it is not known")
    return known.answer
