"""Why a service refuses a request with a transaction token."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class TokenAbsentError(DeniedError):
    """The request has no transaction token."""

    code = "txn-token-absent"
    remedy = 'have the action permitted with `"token": true`, and send the token in `Txn-Token`'


class TokenCountError(MalformedError):
    """The request has several transaction tokens, or what may be read as several."""

    code = "txn-token-count"
    remedy = "send one header `Txn-Token` with the token and nothing else"


class BadTokenContextError(MalformedError):
    """The token's statement about its action can't be read."""

    code = "bad-token-context"
    remedy = "use services and daemons of versions that go together"


class HolderNotShownError(DeniedError):
    """The sender is not proven to be the token's holder."""

    code = "holder-not-shown"
    remedy = "send it over a connection, or with a proof, of the workload that the token names in `req_wl`"


class OtherToolError(DeniedError):
    """The token is for another tool than this endpoint's."""

    code = "other-tool"
    remedy = "have an action of this endpoint's tool permitted"


class OtherNamespaceError(DeniedError):
    """The token is of a namespace whose revocations the service does not receive."""

    code = "other-namespace"
    remedy = "have the action permitted in the namespace that the service is configured with"


class DigestMissingError(DeniedError):
    """The token doesn't name its request, which this endpoint requires."""

    code = "digest-missing"
    remedy = "name the request's `content_digest` when the action is asked for"


class OtherContentError(DeniedError):
    """The request's content is not the permitted content."""

    code = "other-content"
    remedy = "send the very bytes whose digest was named when the action was asked for"


class OtherActionError(DeniedError):
    """Tool and arguments are not the permitted action."""

    code = "other-action"
    remedy = "send the arguments as the permit has them, byte by byte"


class ArgumentsRewrittenError(MalformedError):
    """The body is not the canonical text of its arguments."""

    code = "arguments-rewritten"
    remedy = "send the arguments as the permit has them (RFC 8785)"


class BadContentDigestError(MalformedError):
    """`Content-Digest` is unreadable or doesn't match the content."""

    code = "content-digest"
    remedy = "send `Content-Digest: sha-256=:…:` of the body as it is sent (RFC 9530), or none"


class EndpointUnknownError(DeniedError):
    """No tool is declared for this endpoint."""

    code = "endpoint-unknown"
    remedy = "declare which tool the endpoint is, or that it is public"


class QueryError(MalformedError):
    """The request has a query, which no digest covers."""

    code = "query-not-covered"
    remedy = "put everything that matters into the body"


class ContentTypeError(MalformedError):
    """The content type is not the endpoint's."""

    code = "other-content-type"
    remedy = "send the content type that the endpoint declares"


class ContentEncodedError(MalformedError):
    """The content has an encoding, which its digest doesn't cover."""

    code = "content-encoded"
    remedy = "send the content without `Content-Encoding`"


class BodyLargeError(MalformedError):
    """The body exceeds the size limit."""

    code = "body-large"
    remedy = "send less; large content goes by reference, with its digest"


class BodyLengthError(MalformedError):
    """The body has no readable length, or ended before it."""

    code = "body-length"
    remedy = "send `Content-Length`, and as many bytes"


class BodySlowError(UnavailableError):
    """The body took too long."""

    code = "body-slow"
    remedy = "send it within half a minute"


class TokenInactiveError(DeniedError):
    """The issuer says that the token is inactive."""

    code = "token-inactive"
    remedy = "have the action permitted again, if its task still runs"


class StatusUnknownError(UnavailableError):
    """The token's status can't be determined now."""

    code = "status-unknown"
    remedy = "try again when the issuer is reached"


class KeysUnreadError(UnavailableError):
    """The issuer's keys can't be read, or are too old."""

    code = "keys-unread"
    remedy = "try again when the issuer is reached"


class StillServingError(DeniedError):
    """The same request is being served."""

    code = "still-at-it"
    remedy = "send the same again in a second, for what came of it"


class OutcomeUnknownError(DeniedError):
    """The same request was begun before; its outcome is unknown or its answer was not kept."""

    code = "outcome-not-known"
    remedy = "look at what the service did, and tell the outcome; don't ask again as if nothing was done"


class AnswerUnkeptError(DeniedError):
    """The request was done but its answer was not kept: to a repeat the outcome is unknown."""

    code = "answer-not-kept"
    remedy = "don't do it again: the error has the result; then look at the file of claims"

    def __init__(self, result: object) -> None:
        """Keeps the function's result; over HTTP the `ServedAnswer` that was sent."""
        super().__init__("this was done, and the answer was not kept")
        self.result = result


class YetToRunError(MalformedError):
    """A plain function returned something that still has to run, so the outcome is unknown."""

    code = "yet-to-run"
    remedy = "decorate the `async def` itself, or have the function done with its work when it returns"


class NoHeadError(DeniedError):
    """The call's transport has no head, so it can't carry a token."""

    code = "no-head"
    remedy = "call the service over HTTP, with the token in `Txn-Token` of the request that carries the call"


class ArgumentChangedError(DeniedError):
    """The tool would run with another value than the decided one."""

    code = "argument-changed"
    remedy = "have the action permitted with each argument in the form that the tool itself has it"


class ArgumentUndecidedError(DeniedError):
    """The tool would run with an undecided value."""

    code = "argument-undecided"
    remedy = "name the argument, or give it a default that stands in the tool's schema"


class InputUndecidedError(DeniedError):
    """A call brings, or asks its client for, input that is no argument."""

    code = "input-undecided"
    remedy = "make what is asked an argument of the tool, so that it is decided on with the rest"


class HeaderUncoveredError(MalformedError):
    """A header would make a proxy or service see another request."""

    code = "header-not-covered"
    remedy = "send it without this header: a token is for the method, path and body as they are sent, once"


class CallDeferredError(DeniedError):
    """The call would run later, outside its permit."""

    code = "call-deferred"
    remedy = "call the tool without a task, and wait for its answer"


class ToolUnboundError(DeniedError):
    """The tool's function can't be compared with the decided arguments."""

    code = "tool-unbound"
    remedy = "make the tool a function of the server's own, without what wraps, caches or replaces it"
