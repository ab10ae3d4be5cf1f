"""An argument path: which part of an action's arguments a constraint speaks about.

For now a path is the name of a top-level argument. The characters that a path
into nested objects and lists will need are refused in names from the start, so
that no scope that can be written today changes its meaning then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskbound.core.scope.place import Place

__all__ = ["ArgumentPath", "parse_argument_path"]

_MAX_LENGTH = 256
_RESERVED = re.compile(r"^/|[.\[\]*\"\\\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ArgumentPath:
    """Steps from the arguments inward; exactly one, the argument's name, until paths go deeper."""

    steps: tuple[str, ...]

    @property
    def argument(self) -> str:
        """The name of the top-level argument."""
        return self.steps[0]

    def __str__(self) -> str:
        """The path as it is written in a scope."""
        return ".".join(self.steps)


def parse_argument_path(text: str, place: Place) -> ArgumentPath:
    """Read a path as a scope writes it.

    Raises:
        ScopeSyntaxError: It is empty, too long, or holds a character that is kept for deeper paths.
    """
    if not text:
        raise place.fault("is an argument without a name")
    if len(text) > _MAX_LENGTH:
        raise place.fault(f"is longer than {_MAX_LENGTH} characters")
    if _RESERVED.search(text):
        raise place.fault("holds what a name of an argument can't: . [ ] * \" \\, a control, or / in front")
    return ArgumentPath(steps=(text,))
