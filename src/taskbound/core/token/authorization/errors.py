"""What can be wrong with a request for an authorization code, and with what is exchanged for one.

1. Errors of two families never mix: what may be told to the client's redirect URI has a code of RFC 6749
   §4.1.2.1, and what may not (its own address is in doubt) is shown to the person alone.
2. No text of the request is repeated in a message: it goes to a page and into logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError

if TYPE_CHECKING:
    from taskbound.core.token.authorization.redirect import Redirect


class BadClientIdError(MalformedError):
    """A client's id that is neither a registered name nor the URL of a document about it."""

    code = "bad-client-id"
    remedy = "register the client with `taskbound token client add`, or use one that has a metadata document"


class BadClientDocumentError(MalformedError):
    """What a client's URL says of it can't be believed."""

    code = "bad-client-document"
    remedy = "have the client's maker mend the document, or register the client by hand"


class ClientUnreachableError(UnavailableError):
    """The document at a client's URL could not be fetched."""

    code = "client-unreachable"
    remedy = "try again, tell the client's maker, or register the client by hand"


class TooManyDocumentsError(UnavailableError):
    """So many documents of clients were fetched that no more are now."""

    code = "too-many-documents"
    remedy = "try again in a minute, or register the client by hand"


class BadClientRequestError(MalformedError):
    """The request could not be answered whoever its client is, and nobody is asked who that is."""

    code = "bad-client-request"
    remedy = "see the error that the client shows; it has to ask otherwise"


class BadRedirectError(DeniedError):
    """The address that the answer is to go to is not one of the client's."""

    code = "bad-redirect"
    remedy = "do not go on: the link may come from somebody else than the client"


class RepeatedParameterError(MalformedError):
    """A parameter stands twice (RFC 6749 §3.1)."""

    code = "repeated-parameter"
    remedy = "start anew from the client"


class RedirectedError(MalformedError):
    """The request is refused, and the client is told so at its redirect URI (RFC 6749 §4.1.2.1)."""

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
        """Refuse with this error of the standards, to be told there.

        Args:
            error: Its code.
            message: One sentence, which the client sees; printable ASCII without quotes (RFC 6749 §4.1.2.1).
            redirect: Where the client hears it.
            state: What it is to get back; empty where what it sent can't go back.
        """
        if error not in self.allowed:
            raise ValueError(error)
        super().__init__(message)
        self.error = error
        self.redirect = redirect
        self.state = state


class BadCodeError(DeniedError):
    """An authorization code that gives nothing: unknown, used, over, or another client's."""

    code = "bad-code"
    remedy = "start the client's sign-in anew"


class BadVerifierError(DeniedError):
    """Who brings the code is not who asked for it (RFC 7636 §4.6)."""

    code = "bad-verifier"
    remedy = "start the client's sign-in anew"


class ClientExistsError(DeniedError):
    """A client of this name is registered."""

    code = "client-exists"
    remedy = "`taskbound token client show` says what it is; remove it first"


class UnknownClientError(DeniedError):
    """Nobody registered a client of this name."""

    code = "unknown-client"
    remedy = "list them with `taskbound token client list`"


class NotAskedError(DeniedError):
    """No request for a code waits under what was typed or shown."""

    code = "not-asked"
    remedy = "type the code that your own browser shows; if it is older than five minutes, start anew there"


class AnsweredError(DeniedError):
    """A request for a code was answered before."""

    code = "consent-answered"
    remedy = "start the client's sign-in anew, if it was not you who answered; look at `taskbound audit tail`"


class SignInDemandedError(DeniedError):
    """A client asks for a sign-in that is fresher, or of another kind, than whoever answers has."""

    code = "sign-in-demanded"
    remedy = "sign in anew from the client's page; in a terminal such a client can only be denied"


class TooManyAskedError(UnavailableError):
    """Too many requests for codes wait for people."""

    code = "too-many-asked"
    remedy = "try again in five minutes"


class TooManyTriesError(DeniedError):
    """Too many codes were typed under which nothing waits."""

    code = "too-many-tries"
    remedy = "wait five minutes; a code is typed from one's own browser, and never from a message"


class ReusedCodeError(DeniedError):
    """An authorization code came twice; what it had brought is taken back (RFC 6749 §4.1.2)."""

    code = "code-reused"
    remedy = "start the client's sign-in anew; if nobody did this twice, the code was seen by somebody else"


class BadRefreshError(DeniedError):
    """A refresh token that gives nothing: there is none such."""

    code = "bad-refresh"
    remedy = "start the client's sign-in anew"


class ReusedRefreshError(DeniedError):
    """A refresh token is in other hands than its client's; nothing comes of it any more."""

    code = "refresh-reused"
    remedy = "start the client's sign-in anew; if that was no client of yours, look at `taskbound audit tail`"


class WiderRefreshError(DeniedError):
    """A refresh token is asked for more than it is for."""

    code = "refresh-wider"
    remedy = "start the client's sign-in anew, and ask there"


class AdmissionEndedError(DeniedError):
    """The client is let in no more."""

    code = "admission-ended"
    remedy = "start the client's sign-in anew"


class UnknownAdmissionError(DeniedError):
    """No client was let in under this name."""

    code = "unknown-admission"
    remedy = "list what clients were let in to with `taskbound token admission list`"
