"""Errors of reading, rewriting and restoring client configurations."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class BadConfigError(MalformedError):
    """A configuration can't be read in the client's own format."""

    code = "bad-client-config"
    remedy = "mend the file; nothing was changed in it"


class ConfigCommentError(DeniedError):
    """Rewriting would lose a user's comment."""

    code = "comment-would-be-lost"
    remedy = "move the comment out of the server's entry, above its name, and try again"


class ConfigChangedError(DeniedError):
    """A configuration changed since it was read or rewritten."""

    code = "client-config-changed"
    remedy = "close the client and try again"


class ConfigUnwritableError(UnavailableError):
    """A configuration can't be written."""

    code = "client-config-unwritable"
    remedy = "look at the path and at who may write it"


class NoUndoError(DeniedError):
    """No configuration was rewritten, so none can be restored."""

    code = "nothing-to-undo"
    remedy = "see `taskbound doctor` for what the configurations start"
