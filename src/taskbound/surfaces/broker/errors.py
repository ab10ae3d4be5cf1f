"""Why the broker does nothing in a target."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, UnavailableError


class StoreRestoredError(UnavailableError):
    """The store knows less than the broker saw, or is another one: it was restored or replaced."""

    code = "store-restored"
    remedy = "wait until every target was looked through, and what was left there is revoked"


class EpochUntoldError(UnavailableError):
    """The store was restored and is believed again, and the daemon has not recorded that yet."""

    code = "epoch-untold"
    remedy = "look whether the daemon runs and takes what the broker tells: it is told every few seconds"


class OtherTargetError(DeniedError):
    """What is to be revoked was minted in another target than the one that has its name now."""

    code = "target-replaced"
    remedy = (
        "declare the target again as it was: what is left there can be ended by its own admin access alone"
    )


class KeptMissingError(DeniedError):
    """What was kept to end a credential is not in its row any more."""

    code = "kept-missing"
    remedy = "look for who writes to the store beside the daemon; it ends by itself when its row says"


class NotShowingError(UnavailableError):
    """A target of this kind can't show what stands in it beside what is minted here."""

    code = "not-showing"
    remedy = "look there by its own means"


class UnknownKindError(UnavailableError):
    """This broker can't mint in targets of such a kind."""

    code = "no-such-kind"
    remedy = "run a broker of the daemon's version"
