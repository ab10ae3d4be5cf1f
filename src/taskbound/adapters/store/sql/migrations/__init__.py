"""Which revisions of the schema there are, told from the names of their files: `r0009.py` is revision 0009.

Whoever only asks whether a database has the newest does not load Alembic, which is 10 MB with what it brings.
The steps themselves are in `steps`, which does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["REVISIONS", "newest_revision", "revisions"]

REVISIONS: Final = Path(__file__).parent / "versions"
"""Where the revisions are."""


def newest_revision(folders: Sequence[Path] = (REVISIONS,)) -> str:
    """The revision that a version with these folders needs."""
    return max(revisions(folders))


def revisions(folders: Sequence[Path] = (REVISIONS,)) -> frozenset[str]:
    """Every revision that a version with these folders knows."""
    return frozenset(one.stem.removeprefix("r") for folder in folders for one in folder.glob("r[0-9]*.py"))
