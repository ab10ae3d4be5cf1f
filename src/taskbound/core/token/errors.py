"""What is wrong with a token, or with asking for one."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class ReplayedError(DeniedError):
    """What serves once was shown before."""

    code = "replayed"
    remedy = "make a new proof for each request, with a `jti` of its own"


class BadTokenLifeError(MalformedError):
    """A token can't live so long, or not at all."""

    code = "bad-token-life"
    remedy = "ask for 1 to 300 seconds; a token ends no later than its task and what proved who asks for it"


class ActorChainError(DeniedError):
    """Those who act for somebody can't be told in one line."""

    code = "actor-chain"
    remedy = "hand the task on to another agent, which has not had it before"


class UnboundTokenError(DeniedError):
    """A token is asked for or shown without the key that it is bound to."""

    code = "token-unbound"
    remedy = (
        "send one DPoP proof (RFC 9449) of the key that the token is bound to, or use its client certificate"
    )


class OtherKindError(DeniedError):
    """The token is genuine perhaps, and of another kind than is taken here."""

    code = "other-token-kind"
    remedy = "show a token of the task, with the scope `task`, for this resource"


class WeakerBindingError(DeniedError):
    """A token would be bound less firmly than the one that it is made of."""

    code = "weaker-binding"
    remedy = "show a key of the same kind as the one that the token is bound to"


class UnknownTokenError(DeniedError):
    """Nobody here issued a token of this name."""

    code = "unknown-token"
    remedy = "list them with `taskbound token list`"


class TokenRevokedError(DeniedError):
    """The token was revoked."""

    code = "token-revoked"
    remedy = "ask for another one; if that is refused, the reason is in its words"


class TokenEndedError(DeniedError):
    """The token's time is over."""

    code = "token-ended"
    remedy = "ask for another one: a token lives five minutes at most"


class TokenKeyRevokedError(DeniedError):
    """The key that signed the token was revoked."""

    code = "token-key-revoked"
    remedy = "ask for another token"


class TokenAlteredError(DeniedError):
    """What stands of the token is not what its record says was issued."""

    code = "token-altered"
    remedy = "`taskbound audit verify` says whether the log is whole; compare the database with a backup"


class ForeignTokenError(DeniedError):
    """The token is another client's."""

    code = "token-of-another"
    remedy = "a token is revoked by the one it was issued to, or by a person with `taskbound token revoke`"


class NotMeantError(DeniedError):
    """A token is exchanged by an agent that its holder did not mean."""

    code = "token-not-meant"
    remedy = (
        "its holder names you by `requested_actor` when asking for the token, or you show the token's own key"
    )


class NotOpenError(DeniedError):
    """There is no permitted action that a transaction token could speak of."""

    code = "action-not-open"
    remedy = (
        "a transaction token is for an action that is permitted, has no outcome yet, and is the asker's own"
    )


class KeysElsewhereError(DeniedError):
    """Keys of tokens are to be changed in a namespace whose rules are not the ones about them."""

    code = "keys-elsewhere"
    remedy = "ask in the namespace `default`, by whose rules keys of tokens are changed"


class NoTokenKeyError(UnavailableError):
    """No key signs tokens now."""

    code = "no-token-key"
    remedy = "`taskbound token key list` says what there is; `taskbound token key rotate` makes one"


class UnknownTokenKeyError(DeniedError):
    """No key of this name signs tokens, or did."""

    code = "unknown-token-key"
    remedy = "list them with `taskbound token key list`"


class NoStatusPlaceError(UnavailableError):
    """The status lists of now have no place left."""

    code = "status-lists-full"
    remedy = "wait for the next list: there is one every fifteen minutes"


class UnfitClientError(DeniedError):
    """A client asks by a grant that is for others."""

    code = "unfit-client"
    remedy = "an agent gets tokens by exchange, a service by `client_credentials`"
