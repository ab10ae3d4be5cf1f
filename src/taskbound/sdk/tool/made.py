"""Which callables of ours ask for which guarded function, by what they are.

A framework keeps a callable and a name. A name, attributes and `__wrapped__` say what anybody wants them to
say, so an adapter notes the callable itself here, and who looks at an application's tools asks for that.
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
    """Note that this callable of an adapter's runs nothing but this function, guarded."""
    _made[made] = function


def made_for(found: object) -> Guarded[..., Any] | None:
    """The guarded function that this very callable was made for; None for every other one."""
    return _made.get(found) if type(found) is FunctionType else None
