"""What is wrong with a target, or with what is to be minted in one."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.errors import MalformedError


class BadTargetError(MalformedError):
    """Nothing is to be found where a target is said to be."""

    code: ClassVar[str] = "bad-target"
    remedy: ClassVar[str] = "correct what the target's file says of the place"


class BadAdminAccessError(MalformedError):
    """That is no admin access of such a target; it is in no error."""

    code: ClassVar[str] = "bad-admin-access"
    remedy: ClassVar[str] = "give it anew: `taskbound target admin FILE`"


class BadKindError(MalformedError):
    """A kind of credential is none that such a target can have."""

    code: ClassVar[str] = "bad-credential-kind"
    remedy: ClassVar[str] = "correct what the target's file says of this kind"


class TargetFileError(MalformedError):
    """The document is not one target's file."""

    code: ClassVar[str] = "target-file"
    remedy: ClassVar[str] = "correct it at the place named"


class BadParameterError(MalformedError):
    """What is asked for is no credential of this kind."""

    code: ClassVar[str] = "bad-credential-parameter"
    remedy: ClassVar[str] = "give what its kind requires, and nothing else: `taskbound target list` names it"
