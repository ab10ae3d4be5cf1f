"""Errors of credentials and of credential requests."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class BadMarkError(MalformedError):
    """The text cannot be the name mark of an installation."""

    code = "bad-mark"
    remedy = "a mark is made once, by the first daemon of a store, and is 8 characters of a-z and 2-7"


class ForeignNameError(DeniedError):
    """A target shows a name that this installation did not create."""

    code = "foreign-name"
    remedy = "leave it alone: only what this installation minted is swept"


class BadCredentialLifeError(MalformedError):
    """The requested lifetime of a credential is not possible."""

    code = "bad-credential-life"
    remedy = "ask for fewer seconds than its kind allows; it ends with its task in any case"


class CredentialHeldError(UnavailableError):
    """An approval is open for the credential that the server is started with."""

    code = "credential-held"
    remedy = "tell them (`taskbound approval list`), and call again once they have answered"


class BadHandedError(MalformedError):
    """The handed-out value cannot be opened or has another form; the error contains no value."""

    code = "bad-handed"
    remedy = "ask for the credential anew: what was handed out is revoked unless it is acknowledged"


class HandOutOverError(DeniedError):
    """The secret was not acknowledged in time and is void."""

    code = "hand-out-over"
    remedy = "ask for the credential anew, and acknowledge it within 10 seconds"


class LeaseHeldError(DeniedError):
    """Another worker holds the lease of the credential."""

    code = "lease-held"
    remedy = "take the next one that is due"


class LeaseLostError(DeniedError):
    """The reporting worker no longer holds the lease."""

    code = "lease-lost"
    remedy = "drop this work: the current lease holder checks the target again"


class NotRenewableError(DeniedError):
    """The credential cannot be renewed by this request."""

    code = "not-renewable"
    remedy = "ask for a new credential, as long as the task may have one"


class RenewalUnderWayError(DeniedError):
    """Another renewal of the credential is open or its outcome is unknown."""

    code = "renewal-under-way"
    remedy = "wait until the broker has informed the target: `taskbound credential show` shows the end"


class RenewalNotLaterError(DeniedError):
    """The renewal would not extend the credential's life."""

    code = "renewal-not-later"
    remedy = "renew it later, or for more seconds; it ends with its task in any case"


class NoRecipientError(MalformedError):
    """A credential is requested without a recipient key for its secret."""

    code = "no-recipient"
    remedy = "ask for it with `taskbound credential request`, or run what needs it with `taskbound exec`"


class UnwantedRecipientError(MalformedError):
    """A recipient key is given for an action without a secret."""

    code = "unwanted-recipient"
    remedy = "call it without a recipient: only credentials have one"


class BadRecipientError(MalformedError):
    """The text is not a public key that only one holder could open."""

    code = "bad-recipient"
    remedy = "make a new X25519 key for this one request, and send its public half as base64url"
