"""What is wrong with a credential, or with asking for one."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class BadMarkError(MalformedError):
    """That can't mark the names of an installation."""

    code = "bad-mark"
    remedy = "a mark is made once, by the first daemon of a store, and is 8 characters of a-z and 2-7"


class ForeignNameError(DeniedError):
    """A target shows a name that is not of this installation's making."""

    code = "foreign-name"
    remedy = "leave it alone: only what this installation minted is swept"


class BadCredentialLifeError(MalformedError):
    """A credential can't live so long, or not at all."""

    code = "bad-credential-life"
    remedy = "ask for fewer seconds than its kind allows; it ends with its task in any case"


class CredentialHeldError(UnavailableError):
    """People are being asked whether the task may have a credential that the server is started with."""

    code = "credential-held"
    remedy = "tell them (`taskbound approval list`), and call again once they have answered"


class BadHandedError(MalformedError):
    """What was handed out can't be opened, or is something else; no value is in the error."""

    code = "bad-handed"
    remedy = "ask for the credential anew: what was handed out is revoked unless it is acknowledged"


class HandOutOverError(DeniedError):
    """A secret was not acknowledged in time, and is worth nothing any more."""

    code = "hand-out-over"
    remedy = "ask for the credential anew, and acknowledge it within 10 seconds"


class LeaseHeldError(DeniedError):
    """Another worker has the credential in hand."""

    code = "lease-held"
    remedy = "take the next one that is due"


class LeaseLostError(DeniedError):
    """Who tells of a credential has it in hand no more."""

    code = "lease-lost"
    remedy = "let go of it: whoever has it now looks at the target anew"


class NotRenewableError(DeniedError):
    """A credential can't be renewed by what was asked for."""

    code = "not-renewable"
    remedy = "ask for a new credential, as long as the task may have one"


class RenewalUnderWayError(DeniedError):
    """Another renewal of the credential is under way, or nobody knows yet what came of it."""

    code = "renewal-under-way"
    remedy = "wait until its target was told of that: `taskbound credential show` says when it ends"


class RenewalNotLaterError(DeniedError):
    """A credential would not live any longer by a renewal."""

    code = "renewal-not-later"
    remedy = "renew it later, or for more seconds; it ends with its task in any case"


class NoRecipientError(MalformedError):
    """A credential is asked for, and nobody is named that its secret could be sealed to."""

    code = "no-recipient"
    remedy = "ask for it with `taskbound credential request`, or run what needs it with `taskbound exec`"


class UnwantedRecipientError(MalformedError):
    """Somebody is named to get a secret, and what is asked for has none."""

    code = "unwanted-recipient"
    remedy = "call it without a recipient: only credentials have one"


class BadRecipientError(MalformedError):
    """Nothing can be sealed to that, or not so that only one could open it."""

    code = "bad-recipient"
    remedy = "make a new X25519 key for this one request, and send its public half as base64url"
