"""Which guarded function each of our adapters' callables runs, by identity.

Frameworks keep a callable and a name. Names, attributes and `__wrapped__` can be forged, so adapters register
the callable here for coverage checks.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.sdk.guard.guarded import Guarded


_made: Final[WeakKeyDictionary[Callable[..., Any], Guarded[..., Any]]] = WeakKeyDictionary()


def note_made(made: Callable[..., Any], function: Guarded[..., Any]) -> None:
    """Registers that this callable runs only this guarded function."""
    _made[made] = function


def made_for(found: object) -> Guarded[..., Any] | None:
    """Returns the guarded function of this callable, or None."""
    return _made.get(found) if type(found) is FunctionType else None
