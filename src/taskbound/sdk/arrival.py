"""A future that resumes its waiting task at once instead of in the next round of the event loop.

If another task is running the next round resumes it, because tasks don't nest. The loop delivers errors and
cancellations, as in asyncio.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context


A = TypeVar("A")


class Arrival(asyncio.Future[A]):
    """A future with one fast slot for a waiter; further waiters wait as for any future."""

    _after: tuple[Callable[..., object], Context | None] | None = None

    def add_done_callback(self, fn: Callable[..., object], /, *, context: Context | None = None) -> None:
        if self._after is None and not self.done():
            self._after = fn, context
        else:
            super().add_done_callback(fn, context=context)

    def remove_done_callback(self, fn: Callable[..., object], /) -> int:
        mine = self._after is not None and self._after[0] == fn
        if mine:
            self._after = None
        return super().remove_done_callback(fn) + mine

    def arrive(self, found: A) -> None:
        """Sets the result and resumes the waiter before it returns; does nothing if it is done already."""
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
        """Sets the result; the waiter resumes in the next round."""
        super().set_result(result)
        self._tell()

    def set_exception(self, exception: type | BaseException, /) -> None:
        super().set_exception(exception)
        self._tell()

    def cancel(self, msg: object = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            self._tell()
        return cancelled

    def _tell(self) -> None:
        if self._after is not None:
            (after, context), self._after = self._after, None
            self.get_loop().call_soon(after, self, context=context)
