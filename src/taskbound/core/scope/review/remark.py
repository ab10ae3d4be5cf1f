"""One thing that a person should know about a grant before they answer for it."""

from __future__ import annotations

from difflib import get_close_matches
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.show import bare

if TYPE_CHECKING:
    from collections.abc import Iterable


_TOLD: Final = 8
_COMPARED: Final = 1_000
_LONGEST: Final = 128


class Weight(Enum):
    """What a remark asks of the person."""

    BREADTH = "breadth"
    """It is as it says, and wide: is that meant?"""
    MISTAKE = "mistake"
    """It can't be what was meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A remark on one grant."""

    code: str
    """A stable word, such as ``others-any``."""
    weight: Weight
    grant: str
    """Its id, such as ``g0``."""
    path: str
    """The path in its arguments, as a scope writes it; empty for the grant as a whole."""
    text: str
    """What there is to know, in plain words."""

    @property
    def sentence(self) -> str:
        """The remark in a person's words."""
        return f"{self.grant}: `{bare(self.path)}` {self.text}" if self.path else f"{self.grant}: {self.text}"


def near(name: str, known: Iterable[str]) -> str:
    """The known name that this one may be a slip of, in words; empty when none is near."""
    if len(name) > _LONGEST:
        return ""
    short = [one for one in known if len(one) <= _LONGEST][:_COMPARED]
    found = get_close_matches(name, short, n=1, cutoff=0.6)
    return f"; is `{bare(found[0])}` meant?" if found else ""


def some(names: Iterable[str]) -> str:
    """A few names, and how many more there are."""
    every = sorted(names)
    told = ", ".join(f"`{bare(name)}`" for name in every[:_TOLD])
    return f"{told} and {len(every) - _TOLD} more" if len(every) > _TOLD else told
