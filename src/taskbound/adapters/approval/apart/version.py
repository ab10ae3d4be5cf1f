"""The version of a row: text that differs whenever the row does.

1. Values are tagged with their type, so 7 and `7` differ and no value looks like a missing row.
2. Empty and overlong versions are refused.
3. The row's key must equal the argument exactly: case folding, padding or lenient numbers could match another
   row.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical
from taskbound.core.approval import OperandUnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable


LONGEST: Final = 1_024
"""Characters of a version at most (rule 2)."""


def tagged(kind: str, text: str) -> str:
    return f"{kind} {canonical(text).decode()}"


def require_version(kind: str, text: str | None) -> str:
    """Returns the row's version; raises OperandUnreadableError (rule 2)."""
    if text is None:
        raise OperandUnreadableError("the row's version is empty")
    if len(text) > LONGEST:
        raise OperandUnreadableError(f"the row's version is longer than {LONGEST} characters")
    return tagged(kind, text)


def require_key(said: str, asked: str) -> None:
    """Raises OperandUnreadableError unless the key is spelled as in the argument (rule 3)."""
    if said != asked:
        raise OperandUnreadableError("the database takes it for a row whose key is written in another way")


def row_hash(columns: Iterable[tuple[str, str]]) -> str:
    """Returns a digest of all columns, for a table without version column."""
    return f"row sha256 {sha256(canonical([[name, value] for name, value in columns])).hexdigest()}"
