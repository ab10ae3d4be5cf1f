"""What can be said of two constraints: one is within the other, or both have nothing in common.

1. "Yes" is a proof; "no" only says that none was found. So `Contained` and `Excluded` may be
   relied on, and their opposites are reasons to refuse.
2. Nobody gets a bool: an answer is matched on.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.truth import NoTruth


@dataclass(frozen=True, slots=True, kw_only=True)
class Contained(NoTruth):
    """Every value that the one permits, the other permits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotContained(NoTruth):
    """The one permits more, or it can't be shown that it doesn't."""

    reason: str
    """Plain words without values, such as "its largest number is above the other's"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded(NoTruth):
    """No value is permitted by both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotExcluded(NoTruth):
    """Some value may be permitted by both."""


Containment: TypeAlias = Contained | NotContained
Exclusion: TypeAlias = Excluded | NotExcluded

CONTAINED: Final = Contained()
EXCLUDED: Final = Excluded()
NOT_EXCLUDED: Final = NotExcluded()
