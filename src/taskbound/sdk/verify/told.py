"""HTTP answers of the shells, and what is kept of an answer.

1. A refusal is a status, a challenge and a problem (`refused`); a kept answer is marked as such.
2. Kept headers describe the body; those of a connection, moment or browser are dropped.
3. The body is kept up to a bound, its digest always.
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
    """One HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def tell_refused(refused: Refused, *, domain: str, tool: str) -> Told:
    """Returns a refusal for this trust domain and tool, which may be empty (rule 1)."""
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
    """Returns a kept answer (rule 1)."""
    body = answer.body or b""
    length = () if answer.status in _BARE else (("Content-Length", str(len(body))),)
    return Told(answer.status, (*answer.headers, ("Taskbound-Answer", "recorded"), *length), body)


class Recording:
    """Records an answer while it is sent (rules 2 and 3)."""

    def __init__(self) -> None:
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
        """Returns the bytes of its body so far."""
        return self._length

    def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Records the head."""
        self._status = status
        self._headers = tuple((name, value) for name, value in headers if name.lower() not in _NOT_KEPT)

    def add(self, part: bytes) -> None:
        """Records a part of the body."""
        self._digest.update(part)
        self._length += len(part)
        if self._length <= MAX_KEPT:
            self._parts.append(part)
        else:
            self._parts.clear()

    def answer(self) -> ServedAnswer:
        """Returns the complete answer."""
        return ServedAnswer(
            status=self._status or 0,
            headers=self._headers,
            digest=self._digest.hexdigest(),
            length=self._length,
            body=b"".join(self._parts) if self._length <= MAX_KEPT else None,
        )
