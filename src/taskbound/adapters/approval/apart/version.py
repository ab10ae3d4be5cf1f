"""What a row is at one moment, in words that differ whenever it does.

1. A value is said with its type, so that the number 7 and the text `7` are two versions, and no value reads
   like *no such row*.
2. A version that is empty says nothing of any change, and one that is long is none: both are refused.
3. The row has to hold the key as the argument says it, letter by letter. A database that folds case, pads or
   reads numbers leniently finds rows that another reader of the same argument does not mean.
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
    """A value with its type (rule 1)."""
    return f"{kind} {canonical(text).decode()}"


def require_version(kind: str, text: str | None) -> str:
    """The version of a row.

    Raises:
        OperandUnreadableError: It is empty, or too long to be one (rule 2).
    """
    if text is None:
        raise OperandUnreadableError("the row's version is empty")
    if len(text) > LONGEST:
        raise OperandUnreadableError(f"the row's version is longer than {LONGEST} characters")
    return tagged(kind, text)


def require_key(said: str, asked: str) -> None:
    """Go on only with the row whose key is what the argument says.

    Raises:
        OperandUnreadableError: It is written in another way (rule 3).
    """
    if said != asked:
        raise OperandUnreadableError("the database takes it for a row whose key is written in another way")


def row_hash(columns: Iterable[tuple[str, str]]) -> str:
    """The version of a row without a version column: of all its columns, each by name and tagged value."""
    return f"row sha256 {sha256(canonical([[name, value] for name, value in columns])).hexdigest()}"
