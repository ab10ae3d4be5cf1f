"""What a child has to make anew after a fork: locks that threads held which it doesn't have."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T", bound=object)


def anew_in_children(owner: T, anew: Callable[[T], None]) -> None:
    """Have this called with the owner in each child of this process, as long as there is an owner."""
    there = weakref.ref(owner)

    def in_child() -> None:
        if (found := there()) is not None:
            anew(found)

    if hasattr(os, "register_at_fork"):  # where there are forks
        os.register_at_fork(after_in_child=in_child)
