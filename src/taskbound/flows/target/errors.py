"""Why a target can't be declared, found or taken away."""

from __future__ import annotations

from taskbound.core.errors import DeniedError


class UnknownTargetError(DeniedError):
    """There is no target of this name."""

    code = "target-unknown"
    remedy = "list them with `taskbound target list`"


class TargetExistsError(DeniedError):
    """A target or a server has the name already."""

    code = "target-exists"
    remedy = (
        "give it another name, or take away what has this one; a target gets another admin access with"
        " `taskbound target admin FILE`"
    )


class TargetInUseError(DeniedError):
    """Something of ours is left in the target, or is being ended there."""

    code = "target-in-use"
    remedy = "revoke what is left with `taskbound credential revoke --target`, and wait until it is gone"
