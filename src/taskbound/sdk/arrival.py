"""What a task waits for and goes on with in the very moment it is there, not a round of the loop later.

1. `arrive` goes on with whoever waits before it returns, unless another task runs just then:
   tasks don't nest, so the next round goes on with it.
2. Every other end (an error, a cancellation) is told by the loop, as asyncio does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context


A = TypeVar("A")


class Arrival(asyncio.Future[A]):
    """A future with one place for whoever waits; those who come behind wait as for any future."""

    _after: tuple[Callable[..., object], Context | None] | None = None

    def add_done_callback(self, fn: Callable[..., object], /, *, context: Context | None = None) -> None:
        """Go on with this when it is done (asyncio calls this)."""
        if self._after is None and not self.done():
            self._after = fn, context
        else:
            super().add_done_callback(fn, context=context)

    def remove_done_callback(self, fn: Callable[..., object], /) -> int:
        """Do not go on with this."""
        mine = self._after is not None and self._after[0] == fn
        if mine:
            self._after = None
        return super().remove_done_callback(fn) + mine

    def arrive(self, found: A) -> None:
        """Be done with this, and go on with who waits (rule 1); nothing when it is done already."""
        if self.done():
            return
        super().set_result(found)
        if self._after is None:
            return
        loop = self.get_loop()
        if asyncio.current_task(loop) is not None:
            self._tell()
            return
        (after, context), self._after = self._after, None
        if context is None:
            after(self)
        else:
            context.run(after, self)

    def set_result(self, result: A, /) -> None:
        """Be done with this; who waits goes on in the next round (rule 2)."""
        super().set_result(result)
        self._tell()

    def set_exception(self, exception: type | BaseException, /) -> None:
        """Be done with an error (rule 2)."""
        super().set_exception(exception)
        self._tell()

    def cancel(self, msg: object = None) -> bool:
        """Be done with nothing (rule 2)."""
        cancelled = super().cancel(msg)
        if cancelled:
            self._tell()
        return cancelled

    def _tell(self) -> None:
        if self._after is not None:
            (after, context), self._after = self._after, None
            self.get_loop().call_soon(after, self, context=context)
