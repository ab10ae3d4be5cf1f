"""A bundle of policies: named files of rules, its one digest, and the form in which it is kept.

1. A file's name is 1 to 100 of a-z, 0-9, `.`, `_` and `-`, begins with a letter or digit and ends
   with `.cedar`: no two names look alike or differ in case.
2. The kept form is RFC 8785 over names and texts; its SHA-256 is the digest. So the digest covers
   every name and every byte, and what was kept half reads as nothing.
3. `base.cedar` holds the rules that come with Taskbound. No file of an organisation has that name, and
   no policy of it a name that begins with `base:`.
4. A bundle has at most 500 files and 3 MiB of text: it travels in one frame.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import Limits, parse_document
from taskbound.core.errors import MalformedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "BASE_FILE",
    "MAX_BUNDLE",
    "MAX_FILES",
    "BadBundleError",
    "DamagedBundleError",
    "bundle_digest",
    "pack",
    "require_names",
    "require_own",
    "text_of",
    "unpack",
    "whole",
]

BASE_FILE: Final = "base.cedar"
MAX_BUNDLE: Final = 3 * 1_048_576
"""Bytes of all its files."""
MAX_FILES: Final = 500
_BASE: Final = "base:"
_NAME: Final = re.compile(r"(?=.{1,100}\Z)[a-z0-9][a-z0-9._-]*\.cedar")
_LIMITS: Final = Limits(size=2 * MAX_BUNDLE)


class BadBundleError(MalformedError):
    """Files that can't be a bundle of policies."""

    code = "bad-bundle"
    remedy = "give a folder of `*.cedar` files; see docs/guides/policies.md"


class DamagedBundleError(UnavailableError):
    """A bundle that is kept is not what its digest says."""

    code = "damaged-bundle"
    remedy = "go back to another one with `taskbound policy rollback`, and look at the disk"


def require_names(files: Mapping[str, str]) -> None:
    """Go on only with files that can be an organisation's part of a bundle.

    Raises:
        BadBundleError: Rule 1, 3 or 4 is broken, or there is no file.
    """
    if not files:
        raise BadBundleError("there is no file of policies")
    if len(files) > MAX_FILES:
        raise BadBundleError(f"there are more than {MAX_FILES} files of policies")
    for name in files:
        if not _NAME.fullmatch(name):
            raise BadBundleError(
                f"`{name}` can't be the name of a file of policies",
                remedy="use a-z, 0-9, `.`, `_` and `-`, and end it with .cedar",
            )
        if name == BASE_FILE:
            raise BadBundleError(
                f"`{BASE_FILE}` holds the rules that come with Taskbound", remedy="give it another name"
            )
    if sum(len(text.encode("utf-8", "surrogatepass")) for text in files.values()) > MAX_BUNDLE:
        raise BadBundleError(f"the files have more than {MAX_BUNDLE} bytes")


def require_own(policies: Iterable[str], base: Iterable[str]) -> None:
    """Go on only when no policy but those of the base has a name of the base (rule 3).

    Raises:
        BadBundleError: One has.
    """
    known = set(base)
    for name in policies:
        if name.casefold().startswith(_BASE) and name not in known:
            raise BadBundleError(
                f"policy `{name}` has a name of the rules that come with Taskbound",
                remedy=f"give it an @id that does not begin with `{_BASE}`",
            )


def whole(files: Mapping[str, str], base: str) -> dict[str, str]:
    """All files of a bundle, those of the base included, by name in order."""
    return dict(sorted({**files, BASE_FILE: base}.items()))


def text_of(files: Mapping[str, str]) -> str:
    """The files as one text, in the order of their names."""
    return "\n".join(files[name] for name in sorted(files))


def pack(files: Mapping[str, str]) -> bytes:
    """The form in which a bundle is kept (rule 2).

    Raises:
        BadBundleError: A file holds what no text does.
    """
    try:
        return canonical({"files": dict(files), "version": 1})
    except MalformedError as error:
        raise BadBundleError(f"a file of policies is no text: {error.message}") from error


def bundle_digest(archive: bytes) -> str:
    """The digest of a bundle in its kept form."""
    return sha256(archive).hexdigest()


def unpack(archive: bytes, digest: str) -> dict[str, str]:
    """The files of a kept bundle.

    Raises:
        DamagedBundleError: It is not what the digest says, or nothing of the kind.
    """
    if bundle_digest(archive) != digest:
        raise DamagedBundleError(f"policy bundle `{digest}` is kept damaged: its bytes are others")
    try:
        value = parse_document(archive, limits=_LIMITS)
    except MalformedError as error:
        raise DamagedBundleError(f"policy bundle `{digest}` can't be read: {error.message}") from error
    files = value.get("files") if isinstance(value, dict) and value.get("version") == 1 else None
    if not isinstance(files, dict):
        raise DamagedBundleError(f"policy bundle `{digest}` has a form that this version does not know")
    return {name: text for name, text in files.items() if isinstance(text, str)}
