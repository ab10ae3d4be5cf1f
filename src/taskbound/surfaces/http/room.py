"""How many connections a server over HTTP has, and how much of bodies it reads: the same for each surface.

1. Both are bounded over all clients (`Bounds`): who comes when there is no room is told so, and what they
   would send is not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from taskbound.surfaces.http.bounds import Bounds

if TYPE_CHECKING:
    from taskbound.surfaces.http.connection import HttpConnection

__all__ = ["Room"]

B = TypeVar("B", bound=Bounds)
C = TypeVar("C", bound="HttpConnection[Any, Any]")


class Room(Generic[B, C]):
    """What a `Server` says of its room; used in the loop."""

    def __init__(self, bounds: B) -> None:
        """Have nobody yet."""
        self.bounds = bounds
        """How much, and how long."""
        self._connections: set[C] = set()
        self._reserved = 0

    def abort_all(self) -> None:
        """End every connection."""
        for one in tuple(self._connections):
            one.abort()

    def enter(self, connection: C) -> bool:
        """Another connection; whether there is room for it."""
        if len(self._connections) >= self.bounds.connections:
            return False
        self._connections.add(connection)
        return True

    def leave(self, connection: C) -> None:
        """It is gone."""
        self._connections.discard(connection)

    def reserve(self, size: int) -> bool:
        """So much of a body is going to be read; whether there is room for it."""
        if self._reserved + size > self.bounds.bodies:
            return False
        self._reserved += size
        return True

    def release(self, size: int) -> None:
        """So much is not held any more."""
        self._reserved -= size
