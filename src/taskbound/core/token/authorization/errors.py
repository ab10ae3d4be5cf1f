"""Errors of authorization requests and code exchanges.

1. Only errors with a code of RFC 6749 §4.1.2.1 go to the client's redirect URI; all others are shown to the
   person, because the client's address is unverified.
2. Messages repeat no text of the request, because they go to pages and logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError

if TYPE_CHECKING:
    from taskbound.core.token.authorization.request import Redirect


class BadClientIdError(MalformedError):
    """The client id is neither a registered name nor the URL of a client document."""

    code = "bad-client-id"
    remedy = "register the client with `taskbound token client add`, or use one that has a metadata document"


class BadClientDocumentError(MalformedError):
    """The client document is invalid."""

    code = "bad-client-document"
    remedy = "have the client's maker mend the document, or register the client by hand"


class ClientUnreachableError(UnavailableError):
    """The client document could not be fetched."""

    code = "client-unreachable"
    remedy = "try again, tell the client's maker, or register the client by hand"


class TooManyDocumentsError(UnavailableError):
    """The limit on fetched client documents is reached."""

    code = "too-many-documents"
    remedy = "try again in a minute, or register the client by hand"


class BadClientRequestError(MalformedError):
    """The request is invalid for any client, so no client document is fetched."""

    code = "bad-client-request"
    remedy = "see the error that the client shows; it has to ask otherwise"


class BadRedirectError(DeniedError):
    """The redirect URI does not belong to the client."""

    code = "bad-redirect"
    remedy = "do not go on: the link may not come from the client"


class RepeatedParameterError(MalformedError):
    """A parameter is repeated (RFC 6749 §3.1)."""

    code = "repeated-parameter"
    remedy = "start anew from the client"


class RedirectedError(MalformedError):
    """The request is refused, and the refusal goes to its redirect URI (RFC 6749 §4.1.2.1)."""

    code = "bad-authorization-request"
    remedy = "see the error that the client shows; it has to ask otherwise"
    allowed: ClassVar[frozenset[str]] = frozenset(
        {
            "access_denied",
            "invalid_request",
            "invalid_scope",
            "invalid_target",
            "temporarily_unavailable",
            "unauthorized_client",
            "unmet_authentication_requirements",
            "unsupported_response_type",
        }
    )

    def __init__(self, error: str, message: str, *, redirect: Redirect, state: str = "") -> None:
        if error not in self.allowed:
            raise ValueError(error)
        super().__init__(message)
        self.error = error
        self.redirect = redirect
        self.state = state


class BadCodeError(DeniedError):
    """The authorization code is unknown, used, expired or another client's."""

    code = "bad-code"
    remedy = "start the client's sign-in anew"


class BadVerifierError(DeniedError):
    """The PKCE verifier does not match the request (RFC 7636 §4.6)."""

    code = "bad-verifier"
    remedy = "start the client's sign-in anew"


class ClientExistsError(DeniedError):
    """A client with this name is registered."""

    code = "client-exists"
    remedy = "`taskbound token client show` says what it is; remove it first"


class UnknownClientError(DeniedError):
    """No registered client has this name."""

    code = "unknown-client"
    remedy = "list them with `taskbound token client list`"


class NotAskedError(DeniedError):
    """No pending request matches the typed or presented code."""

    code = "not-asked"
    remedy = "type the code that your own browser shows; if it is older than five minutes, start anew there"


class AnsweredError(DeniedError):
    """The request was already answered."""

    code = "consent-answered"
    remedy = "start the client's sign-in anew, if it was not you who answered; look at `taskbound audit tail`"


class SignInDemandedError(DeniedError):
    """The client demands a fresher or stronger sign-in than the answering person has."""

    code = "sign-in-demanded"
    remedy = "sign in anew from the client's page; in a terminal such a client can only be denied"


class TooManyAskedError(UnavailableError):
    """The limit on pending requests is reached."""

    code = "too-many-asked"
    remedy = "try again in five minutes"


class TooManyTriesError(DeniedError):
    """Too many wrong codes were typed."""

    code = "too-many-tries"
    remedy = "wait five minutes; a code is typed from one's own browser, and never from a message"


class ReusedCodeError(DeniedError):
    """The code was used twice; what it gave is revoked (RFC 6749 §4.1.2)."""

    code = "code-reused"
    remedy = "start the client's sign-in anew; if you did this only once, another party has seen the code"


class BadRefreshError(DeniedError):
    """The refresh token is unknown."""

    code = "bad-refresh"
    remedy = "start the client's sign-in anew"


class ReusedRefreshError(DeniedError):
    """The refresh token leaked and gives nothing any more."""

    code = "refresh-reused"
    remedy = "start the client's sign-in anew; if that was no client of yours, look at `taskbound audit tail`"


class WiderRefreshError(DeniedError):
    """The refresh request exceeds the token's grant."""

    code = "refresh-wider"
    remedy = "start the client's sign-in anew, and ask there"


class AdmissionEndedError(DeniedError):
    """The client's admission has ended."""

    code = "admission-ended"
    remedy = "start the client's sign-in anew"


class UnknownAdmissionError(DeniedError):
    """No admission has this name."""

    code = "unknown-admission"
    remedy = "list what clients were let in to with `taskbound token admission list`"
