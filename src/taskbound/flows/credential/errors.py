"""Why a credential is not handed out, not found, or not moved."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class UnknownCredentialError(MalformedError):
    """No credential has this name."""

    code = "unknown-credential"
    remedy = "list them with `taskbound credential list`"


class NotAskerError(DeniedError):
    """The credential was not asked for by whoever wants it."""

    code = "not-asker"
    remedy = "take it on the connection that asked for it, or ask for one anew"


class BadSelectionError(MalformedError):
    """What is to be revoked is not named, or named twice."""

    code = "bad-selection"
    remedy = "name one credential, one task or one target"


class WrongTellingError(MalformedError):
    """What a broker tells can't be of this credential."""

    code = "wrong-telling"
    remedy = "restart the broker; what it left is revoked"


class MintFailedError(DeniedError):
    """The target could not be brought to mint it."""

    code = "mint-failed"
    remedy = "look at the target, and ask for the credential anew; what may be there of this one is revoked"


class NobodyMintedError(UnavailableError):
    """No broker has minted it in time, so that nothing of it is in its target."""

    code = "nobody-minted"
    remedy = "look whether the broker runs, and ask for the credential anew"


class CredentialEndedError(DeniedError):
    """The credential is over."""

    code = "credential-ended"
    remedy = "ask for one anew, as long as the task may have one"


class StillMintingError(UnavailableError):
    """The broker is still at it."""

    code = "still-minting"
    remedy = "take it again: it is handed out for 10 seconds once it is minted"


class RenewalFailedError(DeniedError):
    """The target does not let a credential live longer."""

    code = "renewal-failed"
    remedy = "it ends when it did before: ask for another one"


class StillRenewingError(UnavailableError):
    """The broker is still at a renewal."""

    code = "still-renewing"
    remedy = "wait again: until its target was told the credential ends when it did before"
