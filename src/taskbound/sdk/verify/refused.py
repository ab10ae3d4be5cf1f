"""How a service says no: which status, what is missing, in a challenge and in a problem's body.

1. Each refusal names one thing that is missing, so that whoever asked knows what to get. Where a class has
   no name for it, the step has at which it was refused.
2. The challenge has a scheme of its own (`WWW-Authenticate: Taskbound`): a transaction token is no
   credential of HTTP's other schemes. It says the trust domain and the tool that a token would have to be
   for.
3. The body is a problem (RFC 9457). Neither has anything of a token.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError, UnavailableError
from taskbound.core.token import ReplayedError
from taskbound.core.token.shared import BeginRefusedError, OtherRequestError, ServedForgottenError
from taskbound.core.transition import NoTruth
from taskbound.sdk.verify import errors
from taskbound.wire.jose import TokenAudienceError, TokenExpiredError, TokenIssuerError, TokenNotYetError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Step(Enum):
    """Where a request was refused; its value is what is missing there in general (rule 1)."""

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
    BeginRefusedError: "standing-authority",
    OtherRequestError: "unused-token",
    ServedForgottenError: "unused-token",
}
_STATUS: Final[Mapping[type[TaskboundError], int]] = {
    errors.TokenAbsentError: 401,
    errors.NoHeadError: 401,
    errors.StillServingError: 409,
    errors.OutcomeUnknownError: 409,
    OtherRequestError: 409,
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
    """The request is not done."""

    error: TaskboundError
    step: Step

    @property
    def missing(self) -> str:
        """What is missing (rule 1)."""
        if isinstance(self.error, UnavailableError) and self.step is Step.STATUS:
            return "fresh-status"
        return _MISSING.get(type(self.error), self.step.value)

    @property
    def status(self) -> int:
        """Of HTTP."""
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
        """Seconds after which the same may be sent again; None where that is no use."""
        again = isinstance(self.error, UnavailableError | errors.StillServingError)
        return _AGAIN if again else None


def challenge(refused: Refused, *, domain: str, tool: str) -> str:
    """The value of `WWW-Authenticate` (rule 2).

    Args:
        refused: The refusal.
        domain: The trust domain that tokens have to be for.
        tool: The tool that the endpoint is; empty where that is not known.
    """
    parts = {"error": refused.error.code, "missing": refused.missing, "domain": domain, "tool": tool}
    return "Taskbound " + ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)


def problem(refused: Refused) -> bytes:
    """The body, of type `application/problem+json` (rule 3)."""
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
