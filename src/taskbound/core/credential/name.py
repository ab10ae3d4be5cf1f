"""The name that a credential has in its target: computed from its row, so that either finds the other.

1. `tb_`, the installation's mark, `_`, and the row's id without `crd_`: 47 characters of a-z, 2-7 and `_`. No
   target that is known cuts it off, folds it or has to quote it (PostgreSQL takes 63 bytes, STS 64
   characters), and nobody gives such a name by accident (A218).
2. The mark tells installations apart that mint in one target. A sweep looks for names that begin with this
   installation's, and what is not exactly such a name is not touched, whatever it begins with (I-14).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.action.escape import escape_text
from taskbound.core.credential.errors import BadMarkError, ForeignNameError

if TYPE_CHECKING:
    from collections.abc import Collection


ID_PREFIX: Final = "crd"
"""What the ids of credentials begin with (`ports.clock.Chance.name`)."""
MARK_LENGTH: Final = 8
_MARK: Final = re.compile(r"[a-z2-7]{8}")
_ID: Final = re.compile(r"crd_([a-z2-7]{35})")
_REST: Final = re.compile(r"[a-z2-7]{35}")
_SHOWN: Final = 80
MINTED: Final = "^tb_[a-z2-7]{8}_[a-z2-7]{35}$"
"""A regular expression of names that some installation minted, as Python and PostgreSQL read it alike."""


def parse_mark(text: str) -> str:
    """The text, which can mark an installation's names.

    Raises:
        BadMarkError: It is not 8 characters of a-z and 2-7.
    """
    if _MARK.fullmatch(text) is None:
        raise BadMarkError(f"`{escape_text(text[:_SHOWN])}` is no mark")
    return text


def prefix_of(mark: str) -> str:
    """What every name of this installation begins with: 12 characters (rule 2)."""
    return f"tb_{parse_mark(mark)}_"


def pattern_of(marks: Collection[str]) -> str:
    """A regular expression of exactly the names that have one of these marks, as `MINTED` is one (rule 2).

    Raises:
        BadMarkError: One of them is none.
    """
    some = "|".join(sorted({parse_mark(one) for one in marks}))
    return f"^tb_({some})_[a-z2-7]{{35}}$" if some else "^$"


def name_of(mark: str, credential: str) -> str:
    """The name in the target of the credential with this id (rule 1).

    Raises:
        BadMarkError: The mark is none.
        ForeignNameError: The id is none of a credential.
    """
    found = _ID.fullmatch(credential)
    if found is None:
        raise ForeignNameError(f"`{escape_text(credential[:_SHOWN])}` is not the id of a credential")
    return prefix_of(mark) + found[1]


def id_of(mark: str, name: str) -> str:
    """The id of the credential that a target shows under this name.

    Raises:
        BadMarkError: The mark is none.
        ForeignNameError: The name is not of this installation's making (rule 2).
    """
    prefix = prefix_of(mark)
    if not name.startswith(prefix) or _REST.fullmatch(name[len(prefix) :]) is None:
        raise ForeignNameError(
            f"`{escape_text(name[:_SHOWN])}` is no name of this installation's credentials"
        )
    return f"{ID_PREFIX}_{name[len(prefix) :]}"
