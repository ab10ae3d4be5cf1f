"""Reads files written by other programs: regular files of bounded size, as text."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import escape_text
from taskbound.core.errors import DeniedError, MalformedError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path


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


_LARGEST: Final = 32 * 1024 * 1024
MARK: Final = b"\xef\xbb\xbf"
"""The byte-order mark that some editors put before a text."""


def read_bytes(path: Path) -> bytes:
    """Return the file's bytes; raises BadConfigError if it isn't a readable regular file of allowed size."""
    shown = escape_text(str(path))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        words = "it is a link that leads round" if error.errno == errno.ELOOP else error.strerror
        raise BadConfigError(f"`{shown}` can't be read: {words}") from error
    try:
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode):
            raise BadConfigError(f"`{shown}` is no regular file")
        with os.fdopen(fd, "rb", closefd=False) as stream:
            raw = stream.read(_LARGEST + 1) if seen.st_size <= _LARGEST else b""
    except OSError as error:
        raise BadConfigError(f"`{shown}` can't be read: {error.strerror}") from error
    finally:
        os.close(fd)
    if max(seen.st_size, len(raw)) > _LARGEST:
        raise BadConfigError(f"`{shown}` is larger than {_LARGEST} bytes")
    return raw


def read_text(path: Path) -> str:
    return text_of(path, read_bytes(path))


def text_of(path: Path, raw: bytes) -> str:
    try:
        return raw.removeprefix(MARK).decode()
    except UnicodeDecodeError as error:
        raise BadConfigError(f"`{escape_text(str(path))}` is no UTF-8") from error
