"""A folder or a file as a person names it in a declaration."""

from __future__ import annotations

import posixpath


def is_folder(path: str) -> bool:
    """Whether it is an absolute path in normal form, all of which can be printed."""
    plain = posixpath.normpath(path) == path and path.startswith("/") and not path.startswith("//")
    return plain and path.isprintable()
