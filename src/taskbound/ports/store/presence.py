"""Which processes of a database are there.

1. A process is present under its names until it ends, whatever ends it, and no longer.
2. Processes that are present at once have agreed on the same: whoever brings something else is refused.
3. One that is present MAY be missed for a moment, so that whoever acts on an absence looks twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection


class Presence(Protocol):
    """Being there, and seeing who else is. Safe from any thread."""

    def attend(self, name: str) -> None:
        """Be present under this name too (rule 1); asked again now and then, since presence can be lost.

        Raises:
            StoreUnavailableError: Nobody can tell.
        """

    def agree(self, what: str) -> None:
        """Be present as one that goes by this (rule 2), until the end.

        Raises:
            OtherRulesError: Another process is present that goes by something else.
            StoreUnavailableError: Nobody can tell.
        """

    def others(self, names: Collection[str]) -> frozenset[str]:
        """Those of these names that another process is present under; none where there can be no other.

        Raises:
            StoreUnavailableError: Nobody can tell.
        """
