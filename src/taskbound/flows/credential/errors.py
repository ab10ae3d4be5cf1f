"""Errors of handing out, finding and moving credentials."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class UnknownCredentialError(MalformedError):
    """No credential has this name."""

    code = "unknown-credential"
    remedy = "list them with `taskbound credential list`"


class NotAskerError(DeniedError):
    """The caller did not ask for this credential."""

    code = "not-asker"
    remedy = "take it on the connection that asked for it, or ask for one anew"


class BadSelectionError(MalformedError):
    """The selection of what to revoke is empty or ambiguous."""

    code = "bad-selection"
    remedy = "name one credential, one task or one target"


class WrongTellingError(MalformedError):
    """The broker's report does not fit this credential."""

    code = "wrong-telling"
    remedy = "restart the broker; what it left is revoked"


class MintFailedError(DeniedError):
    """The target failed to mint it."""

    code = "mint-failed"
    remedy = "look at the target, and ask for the credential anew; what may be there of this one is revoked"


class NobodyMintedError(UnavailableError):
    """No broker minted it in time; nothing of it is in its target."""

    code = "nobody-minted"
    remedy = "look whether the broker runs, and ask for the credential anew"


class CredentialEndedError(DeniedError):
    """The credential has ended."""

    code = "credential-ended"
    remedy = "ask for one anew, as long as the task may have one"


class StillMintingError(UnavailableError):
    """The broker has not finished minting."""

    code = "still-minting"
    remedy = "take it again: it is handed out for 10 seconds once it is minted"


class RenewalFailedError(DeniedError):
    """The target does not extend the credential."""

    code = "renewal-failed"
    remedy = "it ends when it did before: ask for another one"


class StillRenewingError(UnavailableError):
    """The broker has not finished the renewal."""

    code = "still-renewing"
    remedy = "wait again: until the broker has extended it in its target, it keeps its earlier end"
