"""Errors of pinning, finding and accepting servers and tools."""

from __future__ import annotations

from taskbound.core.errors import DeniedError


class DeclaredByTargetError(DeniedError):
    """A credential kind is declared by its target's file and nowhere else."""

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
    """The last seen definition is not the one to accept."""

    code = "other-definition"
    remedy = "look at `taskbound tool diff` again"


class NotIdempotentError(DeniedError):
    """The tool's own definition says that it is not idempotent."""

    code = "not-idempotent"
    remedy = "leave it as it is: after an unknown outcome a person is asked"


class OtherChangesError(DeniedError):
    """The changes are not those that the person was shown."""

    code = "other-changes"
    remedy = "look at the changes again, and apply those"


class RelaxesError(DeniedError):
    """The declaration relaxes current rules without explicit consent."""

    code = "relaxes"
    remedy = "look at what relaxes, and say `--relax` if it is meant"
