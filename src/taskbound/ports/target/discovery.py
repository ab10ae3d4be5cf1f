"""What is owed by systems that can show what stands in them beside what is minted here.

Not every target can: what can't is no `Discovers`, and is said to be none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.target.standing import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What was found in one target."""

    found: tuple[Standing, ...]
    """The worst first (`core.target.standing`, rule 3)."""
    count: int
    """How many there are, those that are not among `found` too."""
    notes: tuple[str, ...] = ()
    """What could not be seen, in words of ours."""
    whole: bool = True
    """Whether nothing was passed over that may let somebody in, by bounds or for want of rights."""


@runtime_checkable
class Discovers(Protocol):
    """A target that can be looked through; used by several threads at once."""

    def discover(self, marks: Collection[str], *, most: int, patience: float) -> Discovery:
        """What lets anybody in there, and is not minted here.

        It MUST change nothing, MUST leave out exactly what these installations' marks name
        (`core.credential.pattern_of`) and nothing else, and MUST answer no more than `most` of the rest,
        the worst of them. No secret, no part and no digest of one may be in it. It raises as the calls of
        `ports.target.Target` do.
        """
