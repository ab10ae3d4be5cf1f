"""Errors of tokens and token requests."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class ReplayedError(DeniedError):
    """A single-use proof was presented before."""

    code = "replayed"
    remedy = "make a new proof for each request, with a `jti` of its own"


class BadTokenLifeError(MalformedError):
    """The requested lifetime of a token is not possible."""

    code = "bad-token-life"
    remedy = "ask for 1 to 300 seconds; a token ends no later than its task and what proved who asks for it"


class ActorChainError(DeniedError):
    """The chain of actors is too long or circular."""

    code = "actor-chain"
    remedy = "hand the task on to another agent, which has not had it before"


class UnboundTokenError(DeniedError):
    """The request has no proof of the key that the token is bound to."""

    code = "token-unbound"
    remedy = (
        "send one DPoP proof (RFC 9449) of the key that the token is bound to, or use its client certificate"
    )


class OtherKindError(DeniedError):
    """The token is of a kind that is not accepted here."""

    code = "other-token-kind"
    remedy = "show a token of the task, with the scope `task`, for this resource"


class WeakerBindingError(DeniedError):
    """The new token would have a weaker binding than the exchanged one."""

    code = "weaker-binding"
    remedy = "show a key of the same kind as the one that the token is bound to"


class UnknownTokenError(DeniedError):
    """No issued token has this name."""

    code = "unknown-token"
    remedy = "list them with `taskbound token list`"


class TokenRevokedError(DeniedError):
    """The token was revoked."""

    code = "token-revoked"
    remedy = "ask for another one; if that is refused, the reason is in its words"


class TokenEndedError(DeniedError):
    """The token has expired."""

    code = "token-ended"
    remedy = "ask for another one: a token lives five minutes at most"


class TokenKeyRevokedError(DeniedError):
    """The key that signed the token was revoked."""

    code = "token-key-revoked"
    remedy = "ask for another token"


class TokenAlteredError(DeniedError):
    """The stored token differs from its issue record."""

    code = "token-altered"
    remedy = "`taskbound audit verify` says whether the log is whole; compare the database with a backup"


class ForeignTokenError(DeniedError):
    """The token belongs to another client."""

    code = "token-of-another"
    remedy = "a token is revoked by the one it was issued to, or by a person with `taskbound token revoke`"


class NotMeantError(DeniedError):
    """The token's holder did not authorize this agent to exchange it."""

    code = "token-not-meant"
    remedy = (
        "its holder names you by `requested_actor` when asking for the token, or you show the token's own key"
    )


class NotOpenError(DeniedError):
    """No permitted open action exists for a transaction token."""

    code = "action-not-open"
    remedy = (
        "a transaction token is for an action that is permitted, has no outcome yet, and is the asker's own"
    )


class KeysElsewhereError(DeniedError):
    """Token keys cannot be changed from this namespace."""

    code = "keys-elsewhere"
    remedy = "ask in the namespace `default`, by whose rules keys of tokens are changed"


class NoTokenKeyError(UnavailableError):
    """No signing key for tokens is available."""

    code = "no-token-key"
    remedy = "`taskbound token key list` says what there is; `taskbound token key rotate` makes one"


class UnknownTokenKeyError(DeniedError):
    """No token key has this name."""

    code = "unknown-token-key"
    remedy = "list them with `taskbound token key list`"


class NoStatusPlaceError(UnavailableError):
    """The current status lists are full."""

    code = "status-lists-full"
    remedy = "wait for the next list: there is one every fifteen minutes"


class UnfitClientError(DeniedError):
    """This grant type is not allowed for the client."""

    code = "unfit-client"
    remedy = "an agent gets tokens by exchange, a service by `client_credentials`"
