"""How a service refuses over HTTP, and what it keeps of an answer.

The challenge's scheme is `Taskbound` (`WWW-Authenticate`): a transaction token is no credential of another
scheme. The body is a problem (RFC 9457). Neither contains any part of a token. Kept headers describe the
body; those of a connection, moment or browser are dropped. The body is kept up to a bound, its digest
always.
"""

from __future__ import annotations

import json
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError, UnavailableError
from taskbound.core.token import ReplayedError, shared
from taskbound.core.transition import NoTruth
from taskbound.sdk.verify import errors
from taskbound.wire.jose import TokenAudienceError, TokenExpiredError, TokenIssuerError, TokenNotYetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Step(Enum):
    """The step that refused; its value names what is missing in general."""

    ENDPOINT = "declared-endpoint"
    TOKEN = "valid-token"  # noqa: S105 - a word of the challenge, and no secret
    HOLDER = "proof-of-holder"
    REQUEST = "token-for-this-request"
    STATUS = "standing-authority"
    CLAIM = "unused-token"


_MISSING: Final[Mapping[type[TaskboundError], str]] = {
    errors.TokenAbsentError: "txn-token",
    errors.TokenCountError: "one-txn-token",
    errors.KeysUnreadError: "issuer-keys",
    TokenExpiredError: "fresh-token",
    TokenNotYetError: "fresh-token",
    TokenIssuerError: "token-of-the-issuer",
    TokenAudienceError: "token-for-the-trust-domain",
    errors.OtherNamespaceError: "token-of-the-namespace",
    errors.OtherToolError: "token-for-this-tool",
    errors.DigestMissingError: "content-digest-in-token",
    errors.BadContentDigestError: "right-content-digest",
    errors.ArgumentsRewrittenError: "canonical-arguments",
    errors.NoHeadError: "txn-token",
    errors.ArgumentChangedError: "arguments-as-decided",
    errors.ArgumentUndecidedError: "decided-arguments",
    errors.InputUndecidedError: "decided-arguments",
    errors.CallDeferredError: "call-that-is-waited-for",
    errors.ToolUnboundError: "bound-tool",
    errors.StatusUnknownError: "fresh-status",
    errors.StillServingError: "patience",
    errors.OutcomeUnknownError: "known-outcome",
    errors.BodyLargeError: "smaller-body",
    errors.BodyLengthError: "content-length",
    errors.BodySlowError: "whole-body",
    errors.ContentEncodedError: "plain-content",
    errors.ContentTypeError: "declared-content-type",
    errors.QueryError: "everything-in-the-body",
    errors.HeaderUncoveredError: "request-as-it-is-sent",
    ReplayedError: "fresh-proof",
    shared.BeginRefusedError: "standing-authority",
    shared.OtherRequestError: "unused-token",
    shared.ServedForgottenError: "unused-token",
}
_STATUS: Final[Mapping[type[TaskboundError], int]] = {
    errors.TokenAbsentError: 401,
    errors.NoHeadError: 401,
    errors.StillServingError: 409,
    errors.OutcomeUnknownError: 409,
    shared.OtherRequestError: 409,
    errors.BodyLargeError: 413,
    errors.BodyLengthError: 411,
    errors.BodySlowError: 408,
    errors.ContentTypeError: 415,
    errors.ContentEncodedError: 415,
}
_AGAIN: Final = 1
"""Seconds after which it makes sense to come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(NoTruth):
    """The request is refused."""

    error: TaskboundError
    step: Step

    @property
    def missing(self) -> str:
        if isinstance(self.error, UnavailableError) and self.step is Step.STATUS:
            return "fresh-status"
        return _MISSING.get(type(self.error), self.step.value)

    @property
    def status(self) -> int:
        known = _STATUS.get(type(self.error))
        if known is not None:
            return known
        match self.error:
            case UnavailableError():
                return 503
            case _ if self.step is Step.TOKEN:
                return 401
            case MalformedError():
                return 400
            case DeniedError():
                return 403
            case _:
                return 500

    @property
    def retry_after(self) -> int | None:
        """Returns the seconds after which a retry may succeed, or None."""
        again = isinstance(self.error, UnavailableError | errors.StillServingError)
        return _AGAIN if again else None


def challenge(refused: Refused, *, domain: str, tool: str) -> str:
    """Returns `WWW-Authenticate` for this trust domain and tool, which may be empty."""
    parts = {"error": refused.error.code, "missing": refused.missing, "domain": domain, "tool": tool}
    return "Taskbound " + ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)


def problem(refused: Refused) -> bytes:
    error = refused.error
    told = {
        "type": f"urn:taskbound:problem:{error.code}",
        "title": "the service did not do this",
        "status": refused.status,
        "detail": error.message,
        "code": error.code,
        "missing": refused.missing,
        "advice": error.advice,
    }
    return json.dumps(told, ensure_ascii=True).encode("ascii")


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


class HttpRefusal(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def tell_refused(refused: Refused, *, domain: str, tool: str) -> HttpRefusal:
    """Returns a refusal for this trust domain and tool, which may be empty."""
    body = problem(refused)
    headers = [
        ("WWW-Authenticate", challenge(refused, domain=domain, tool=tool)),
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    if refused.retry_after is not None:
        headers.append(("Retry-After", str(refused.retry_after)))
    return HttpRefusal(refused.status, tuple(headers), body)


def tell_answer(answer: shared.ServedAnswer) -> HttpRefusal:
    body = answer.body or b""
    length = () if answer.status in _BARE else (("Content-Length", str(len(body))),)
    return HttpRefusal(answer.status, (*answer.headers, ("Taskbound-Answer", "recorded"), *length), body)


class Recording:
    """Records an answer while it is sent."""

    def __init__(self) -> None:
        self._status: int | None = None
        self._headers: tuple[tuple[str, str], ...] = ()
        self._digest = sha256()
        self._length = 0
        self._parts: list[bytes] = []

    @property
    def started(self) -> bool:
        return self._status is not None

    @property
    def length(self) -> int:
        return self._length

    def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        self._status = status
        self._headers = tuple((name, value) for name, value in headers if name.lower() not in _NOT_KEPT)

    def add(self, part: bytes) -> None:
        self._digest.update(part)
        self._length += len(part)
        if self._length <= shared.MAX_KEPT:
            self._parts.append(part)
        else:
            self._parts.clear()

    def answer(self) -> shared.ServedAnswer:
        return shared.ServedAnswer(
            status=self._status or 0,
            headers=self._headers,
            digest=self._digest.hexdigest(),
            length=self._length,
            body=b"".join(self._parts) if self._length <= shared.MAX_KEPT else None,
        )
