"""What a shell tells over HTTP, and what it keeps of an answer.

1. A refusal is its status, a challenge and a problem (`refused`); an answer that was kept is told as it
   was, and says so.
2. Of an answer's head what says something of its body is kept; what belongs to one connection, one moment
   or one person's browser is not.
3. A body is kept up to a bound, and its digest whole.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from taskbound.core.token.shared import MAX_KEPT, ServedAnswer
from taskbound.sdk.verify.refused import Refused, challenge, problem

if TYPE_CHECKING:
    from collections.abc import Iterable


MAX_BODY: Final = 1_048_576
"""Bytes of a request's body that are read, where nothing else is said."""
_BARE: Final = frozenset({204, 304})
"""Statuses of answers that end with their head, and whose head says no length of them (RFC 9110 §8.6)."""
_NOT_KEPT: Final = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "server",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Told(NamedTuple):
    """An answer of HTTP."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def tell_refused(refused: Refused, *, domain: str, tool: str) -> Told:
    """A refusal (rule 1).

    Args:
        refused: The refusal.
        domain: The trust domain that tokens have to be for.
        tool: The tool that the endpoint is; empty where that is not known.
    """
    body = problem(refused)
    headers = [
        ("WWW-Authenticate", challenge(refused, domain=domain, tool=tool)),
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    if refused.retry_after is not None:
        headers.append(("Retry-After", str(refused.retry_after)))
    return Told(refused.status, tuple(headers), body)


def tell_answer(answer: ServedAnswer) -> Told:
    """An answer that was kept (rule 1)."""
    body = answer.body or b""
    length = () if answer.status in _BARE else (("Content-Length", str(len(body))),)
    return Told(answer.status, (*answer.headers, ("Taskbound-Answer", "recorded"), *length), body)


class Recording:
    """An answer while it is given (rules 2 and 3)."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._status: int | None = None
        self._headers: tuple[tuple[str, str], ...] = ()
        self._digest = sha256()
        self._length = 0
        self._parts: list[bytes] = []

    @property
    def started(self) -> bool:
        """Whether it has a head."""
        return self._status is not None

    @property
    def length(self) -> int:
        """Bytes of its body so far."""
        return self._length

    def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Take the head."""
        self._status = status
        self._headers = tuple((name, value) for name, value in headers if name.lower() not in _NOT_KEPT)

    def add(self, part: bytes) -> None:
        """Take a part of the body."""
        self._digest.update(part)
        self._length += len(part)
        if self._length <= MAX_KEPT:
            self._parts.append(part)
        else:
            self._parts.clear()

    def answer(self) -> ServedAnswer:
        """The answer, which is whole now."""
        return ServedAnswer(
            status=self._status or 0,
            headers=self._headers,
            digest=self._digest.hexdigest(),
            length=self._length,
            body=b"".join(self._parts) if self._length <= MAX_KEPT else None,
        )
