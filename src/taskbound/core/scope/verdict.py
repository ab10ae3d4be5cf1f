"""What a constraint says of one value: met, or unmet for a reason.

A reason completes the sentence "argument `x` is …, which …", and never repeats
the value itself: what the value was is shown by ``show``, which hides secrets.
"""

from __future__ import annotations

from typing import TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.truth import NoTruth


@dataclass(frozen=True, slots=True, kw_only=True)
class Met(NoTruth):
    """The value is inside the constraint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmet(NoTruth):
    """The value is outside, or what it is can't be known."""

    code: str
    """A stable word in kebab-case, such as ``above-max``."""
    reason: str
    """Plain words, such as "is above 50"."""


Verdict: TypeAlias = Met | Unmet

MET = Met()
