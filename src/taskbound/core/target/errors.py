"""Errors of targets and of the credentials minted in them."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.errors import MalformedError


class BadTargetError(MalformedError):
    """The address or place of a target is not valid."""

    code: ClassVar[str] = "bad-target"
    remedy: ClassVar[str] = "correct what the target's file says of the place"


class BadAdminAccessError(MalformedError):
    """The admin access does not fit this kind of target; the error does not show it."""

    code: ClassVar[str] = "bad-admin-access"
    remedy: ClassVar[str] = "give it anew: `taskbound target admin FILE`"


class BadKindError(MalformedError):
    """The target cannot have such a kind of credential."""

    code: ClassVar[str] = "bad-credential-kind"
    remedy: ClassVar[str] = "correct what the target's file says of this kind"


class TargetFileError(MalformedError):
    """The document is not a valid target file."""

    code: ClassVar[str] = "target-file"
    remedy: ClassVar[str] = "correct it at the place named"


class BadParameterError(MalformedError):
    """A parameter is not valid for this kind of credential."""

    code: ClassVar[str] = "bad-credential-parameter"
    remedy: ClassVar[str] = "give what its kind requires, and nothing else: `taskbound target list` names it"
