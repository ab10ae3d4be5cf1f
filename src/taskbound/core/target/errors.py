"""What is wrong with a target, or with what is to be minted in one."""

from __future__ import annotations

from taskbound.core.errors import MalformedError

__all__ = ["BadKindError", "BadTargetError"]


class BadTargetError(MalformedError):
    """Nothing is to be found where a target is said to be."""

    code = "bad-target"
    remedy = "write where it is as docs/reference/targets.md says"


class BadKindError(MalformedError):
    """A kind of credential is none that such a target can have."""

    code = "bad-credential-kind"
    remedy = "write the kind as docs/reference/targets.md says"
