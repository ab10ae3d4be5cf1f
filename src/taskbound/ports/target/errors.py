"""What a target, or who speaks to it, could not do."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, UnavailableError


class TargetUnavailableError(UnavailableError):
    """A target can't be reached, or didn't answer in time."""

    code = "target-unavailable"
    remedy = "look at the target; what has to be revoked there is tried again until it is gone"


class TargetUnreachedError(TargetUnavailableError):
    """A target can't be reached, or lets nobody in with this admin access: nothing was sent to it."""

    code = "target-unreached"


class TargetRefusedError(DeniedError):
    """A target said no to the admin access."""

    code = "target-refused"
    remedy = "give the admin access the rights that it needs in the target"


class NameTakenError(DeniedError):
    """A target has what is to be minted already."""

    code = "name-taken"
    remedy = "what was minted under the name before is revoked; ask for another credential"


class RenewalUnsupportedError(TargetRefusedError):
    """A target has no means to let anything live longer than it was minted for."""

    code = "renewal-unsupported"
    remedy = "leave out `renewable` in the target's file; ask for another credential instead"
