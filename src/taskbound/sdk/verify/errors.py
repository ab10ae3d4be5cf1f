"""Why a service does not do what it was asked to do with a transaction token."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class TokenAbsentError(DeniedError):
    """The request has no transaction token."""

    code = "txn-token-absent"
    remedy = 'have the action permitted with `"token": true`, and send the token in `Txn-Token`'


class TokenCountError(MalformedError):
    """The request has more than one transaction token, or what may be read as several."""

    code = "txn-token-count"
    remedy = "send one header `Txn-Token` with the token and nothing else"


class BadTokenContextError(MalformedError):
    """What the token says of its action can't be read."""

    code = "bad-token-context"
    remedy = "use services and daemons of versions that go together"


class HolderNotShownError(DeniedError):
    """Who sent the request was not proven to be the one that the token is for."""

    code = "holder-not-shown"
    remedy = "send it over a connection, or with a proof, of the workload that the token names in `req_wl`"


class OtherToolError(DeniedError):
    """The token is for another tool than this endpoint is."""

    code = "other-tool"
    remedy = "have an action of this endpoint's tool permitted"


class OtherNamespaceError(DeniedError):
    """The token is of a namespace that the service hears nothing of."""

    code = "other-namespace"
    remedy = "have the action permitted in the namespace that the service is configured with"


class DigestMissingError(DeniedError):
    """The token doesn't say which request it is for, as this endpoint needs it."""

    code = "digest-missing"
    remedy = "name the request's `content_digest` when the action is asked for"


class OtherContentError(DeniedError):
    """The content of the request is not what was permitted."""

    code = "other-content"
    remedy = "send the very bytes whose digest was named when the action was asked for"


class OtherActionError(DeniedError):
    """Tool and arguments are not the action that was permitted."""

    code = "other-action"
    remedy = "send the arguments as the permit has them, byte by byte"


class ArgumentsRewrittenError(MalformedError):
    """The body is not the canonical text of its arguments."""

    code = "arguments-rewritten"
    remedy = "send the arguments as the permit has them (RFC 8785)"


class BadContentDigestError(MalformedError):
    """`Content-Digest` can't be read, or is not of the content that came."""

    code = "content-digest"
    remedy = "send `Content-Digest: sha-256=:…:` of the body as it is sent (RFC 9530), or none"


class EndpointUnknownError(DeniedError):
    """No tool is declared for what was asked of the service."""

    code = "endpoint-unknown"
    remedy = "declare which tool the endpoint is, or that it is public"


class QueryError(MalformedError):
    """The request has a query, which no digest covers."""

    code = "query-not-covered"
    remedy = "put everything that matters into the body"


class ContentTypeError(MalformedError):
    """The content is said to be of another type than the endpoint takes."""

    code = "other-content-type"
    remedy = "send the content type that the endpoint declares"


class ContentEncodedError(MalformedError):
    """The content is encoded in a way that its digest says nothing of."""

    code = "content-encoded"
    remedy = "send the content without `Content-Encoding`"


class BodyLargeError(MalformedError):
    """The body is longer than is read."""

    code = "body-large"
    remedy = "send less; large content goes by reference, with its digest"


class BodyLengthError(MalformedError):
    """The body has no length that can be read, or ended before it."""

    code = "body-length"
    remedy = "send `Content-Length`, and as many bytes"


class BodySlowError(UnavailableError):
    """The body took too long."""

    code = "body-slow"
    remedy = "send it within half a minute"


class TokenInactiveError(DeniedError):
    """The issuer says that the token is worth nothing."""

    code = "token-inactive"
    remedy = "have the action permitted again, if its task still runs"


class StatusUnknownError(UnavailableError):
    """Whether the token still holds can't be told now."""

    code = "status-unknown"
    remedy = "try again when the issuer is reached"


class KeysUnreadError(UnavailableError):
    """The issuer's keys can't be read, or are too old."""

    code = "keys-unread"
    remedy = "try again when the issuer is reached"


class StillServingError(DeniedError):
    """The same request is being done."""

    code = "still-at-it"
    remedy = "send the same again in a second, for what came of it"


class OutcomeUnknownError(DeniedError):
    """The same request was begun before, and nobody knows what came of it, or its answer was not kept."""

    code = "outcome-not-known"
    remedy = "look at what the service did, and tell the outcome; don't ask again as if nothing was done"


class AnswerUnkeptError(DeniedError):
    """It was done, and its answer was not kept: a repeat is told that nobody knows."""

    code = "answer-not-kept"
    remedy = "don't do it again: the error has the result; then look at the file of claims"

    def __init__(self, result: object) -> None:
        """Say so, with what came of it.

        Args:
            result: What the function gave; of a service of HTTP the `ServedAnswer`, which was passed on.
        """
        super().__init__("this was done, and the answer was not kept")
        self.result = result


class YetToRunError(MalformedError):
    """A plain function gave something that has yet to run, so nobody knows what was done."""

    code = "yet-to-run"
    remedy = "decorate the `async def` itself, or have the function done with its work when it returns"


class NoHeadError(DeniedError):
    """A call came by a way that has no head, so there is no place for a token."""

    code = "no-head"
    remedy = "call the service over HTTP, with the token in `Txn-Token` of the request that carries the call"


class ArgumentChangedError(DeniedError):
    """The tool would run with another value than was decided on."""

    code = "argument-changed"
    remedy = "have the action permitted with each argument in the form that the tool itself has it"


class ArgumentUndecidedError(DeniedError):
    """The tool would run with a value that nobody decided on."""

    code = "argument-undecided"
    remedy = "name the argument, or give it a default that stands in the tool's schema"


class InputUndecidedError(DeniedError):
    """A call brings, or asks its client for, input that is no argument."""

    code = "input-undecided"
    remedy = "make what is asked an argument of the tool, so that it is decided on with the rest"


class HeaderUncoveredError(MalformedError):
    """The request has a header by which a proxy or a service makes another request of it."""

    code = "header-not-covered"
    remedy = "send it without this header: a token is for the method, path and body as they are sent, once"


class CallDeferredError(DeniedError):
    """A call is to be done later, behind the back of what permitted it."""

    code = "call-deferred"
    remedy = "call the tool without a task, and wait for its answer"


class ToolUnboundError(DeniedError):
    """A tool is not run as a function whose arguments can be compared with what was decided on."""

    code = "tool-unbound"
    remedy = "make the tool a function of the server's own, without what wraps, caches or replaces it"
