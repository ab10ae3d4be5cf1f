"""What a call gets for which there was no action to decide, and why nobody could."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError

if TYPE_CHECKING:
    from taskbound.core.decision import Refuse


class UndecidedError(UnavailableError):
    """Something that nobody foresaw kept this from being decided; nothing was allowed."""

    code = "undecided"
    remedy = "look at the daemon's log, and report it"


class ContendedError(UnavailableError):
    """What the decision depends on kept changing while it was made."""

    code = "contended"
    remedy = "try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDecided:
    """There was no action to decide: the bytes could not be read, or nothing could be recorded."""

    refusal: Refuse
    recorded: bool = False
    """Whether there is a record of it."""
