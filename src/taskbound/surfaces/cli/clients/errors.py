"""Why a client's configuration can't be read, rewritten or put back."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class BadConfigError(MalformedError):
    """A configuration can't be read as the client's own format."""

    code = "bad-client-config"
    remedy = "mend the file; nothing was changed in it"


class ConfigCommentError(DeniedError):
    """Rewriting would lose a comment that a person wrote."""

    code = "comment-would-be-lost"
    remedy = "move the comment out of the server's entry, above its name, and try again"


class ConfigChangedError(DeniedError):
    """A configuration changed since it was looked at or rewritten."""

    code = "client-config-changed"
    remedy = "close the client and try again"


class ConfigUnwritableError(UnavailableError):
    """A configuration can't be written."""

    code = "client-config-unwritable"
    remedy = "look at the path and at who may write it"


class NoUndoError(DeniedError):
    """There is nothing to put back."""

    code = "nothing-to-undo"
    remedy = "see `taskbound doctor` for what the configurations start"
