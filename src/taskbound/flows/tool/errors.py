"""Why a server or a tool can't be pinned, found or accepted."""

from __future__ import annotations

from taskbound.core.errors import DeniedError


class DeclaredByTargetError(DeniedError):
    """A kind of credential is what its target's file says, and what a person may not say beside it."""

    code = "declared-by-target"
    remedy = "change the target's file, and declare it under another name: it is another target"


class UnknownServerError(DeniedError):
    """No server of this name is pinned."""

    code = "unknown-server"
    remedy = "list them with `taskbound upstream list`"


class UpstreamExistsError(DeniedError):
    """A server or a target of this name is pinned already."""

    code = "upstream-exists"
    remedy = (
        "give another name, or remove it first: `taskbound upstream remove`, or of a target `target remove`"
    )


class OtherDefinitionError(DeniedError):
    """The definition that was last seen is not the one that is to be accepted."""

    code = "other-definition"
    remedy = "look at `taskbound tool diff` again"


class NotIdempotentError(DeniedError):
    """The tool's own definition says that a repeated call has further effects."""

    code = "not-idempotent"
    remedy = "leave it as it is: after an unknown outcome a person is asked"


class OtherChangesError(DeniedError):
    """What would change now is not what the person was shown."""

    code = "other-changes"
    remedy = "look at the changes again, and apply those"


class RelaxesError(DeniedError):
    """What is declared is looser than what holds now, and nobody said that this is meant."""

    code = "relaxes"
    remedy = "look at what relaxes, and say `--relax` if it is meant"
