"""Hashes of pinned files, at pinning and right before a start."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from taskbound.adapters.upstream.mcp.errors import NoSuchCommandError, ServerChangedError
from taskbound.core.tool.name import shown

if TYPE_CHECKING:
    from taskbound.core.tool import ServerIdentity


def hash_file(path: str | os.PathLike[str]) -> str:
    """Returns a regular file's SHA-256 in hexadecimal; raises NoSuchCommandError if it can't be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise NoSuchCommandError(f"`{shown(os.fspath(path))}` can't be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NoSuchCommandError(f"`{shown(os.fspath(path))}` is no regular file")
    with os.fdopen(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_pinned(identity: ServerIdentity) -> None:
    """Raises ServerChangedError if a pinned file is missing, moved or changed (A170)."""
    if os.path.realpath(identity.command) != identity.resolved:
        raise ServerChangedError(f"`{shown(identity.command)}` leads to another file than when it was pinned")
    pinned = [(identity.resolved, identity.sha256), *((one.path, one.sha256) for one in identity.files)]
    for path, digest in pinned:
        try:
            found = hash_file(path)
        except NoSuchCommandError as error:
            raise ServerChangedError(f"a pinned file is gone: {error.message}") from error
        if found != digest:
            raise ServerChangedError(f"`{shown(path)}` is not the file that was pinned")
