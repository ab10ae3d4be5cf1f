"""What stands in a target beside what is minted here: logins and keys that somebody made once.

1. What has exactly a name of this installation's is ours, and is left out (`core.credential.pattern_of`).
   What only begins like one is somebody's, and is listed: a name would else hide it.
2. What a target doesn't tell is unknown, and never guessed: PostgreSQL keeps neither when a login was made
   nor when it was used last.
3. The worst come first: what may do everything, then what reaches beyond data, then the rest; among equals
   what is known to be oldest, then what nobody knows the age of, by name.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.clock import Instant


class Whose(Enum):
    """Who has it, as far as names tell."""

    OTHERS = "others"
    """Nobody here made it."""
    ADMIN = "admin"
    """The broker itself comes with it: this target's admin access."""
    INSTALLATION = "installation"
    """Another installation minted it."""


class Reach(Enum):
    """How far its rights go."""

    ALL = "all"
    """Everything there, or whatever may become what may."""
    BEYOND = "beyond"
    """Beyond data: it makes other logins, reads files, passes policies by, or may become what does."""
    DATA = "data"


class Entry(Enum):
    """What it is let in with."""

    UNKNOWN = "unknown"
    """The target doesn't show that to this admin access."""
    ASKED = "asked"
    """It has to prove who it is."""
    OPEN = "open"
    """It may be let in without a password or a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One login or key that stands in a target."""

    name: str
    """As the target has it: any text."""
    what: str
    """`login` or `key`."""
    whose: Whose
    reach: Reach
    rights: tuple[str, ...]
    """Short lines of ours; what the target says stands in them between backticks, with visible escapes."""
    since: Instant | None = None
    """When it was made; None where the target doesn't tell (rule 2)."""
    used: Instant | None = None
    """When it was used last; None where the target doesn't tell."""
    open: int = 0
    """How many sessions of it are open now."""
    ends: Instant | None = None
    """When it ends by itself; None for never."""
    entry: Entry = Entry.UNKNOWN


_ORDER: Final = tuple(Reach)


def worst_first(found: Iterable[Standing]) -> tuple[Standing, ...]:
    """All of them, sorted (rule 3)."""
    return tuple(
        sorted(found, key=lambda one: (_ORDER.index(one.reach), one.since is None, one.since or 0, one.name))
    )
