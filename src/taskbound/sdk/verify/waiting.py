"""How asynchronous code waits for disk and issuer: in threads that finish even if it is cancelled.

Waits are futures of the loop's threads, not tasks: a loop that ends cancels tasks but waits for threads. A
request that was claimed for a cancelled caller is marked as unknown. A failure to mark it never hides the
original result: it is unknown all the same (`Claims.lose`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from taskbound.sdk.verify.verifier import Accepted

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.sdk.verify.verifier import Verifier


T = TypeVar("T")


def lost(verifier: Verifier, accepted: Accepted) -> None:
    """Marks the outcome as unknown; errors are ignored."""
    with suppress(Exception):
        verifier.lose(accepted)


async def taken(verifier: Verifier, take: Callable[[], T]) -> T:
    """Returns the verification; an `Accepted` for a cancelled caller is marked as unknown."""
    work = _thread(take)

    def after(done: asyncio.Future[T]) -> None:
        if not done.cancelled() and done.exception() is None and isinstance(found := done.result(), Accepted):
            lost(verifier, found)

    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        work.add_done_callback(after)
        raise


async def whole(work: Callable[[], T]) -> T:
    """Returns the work's result; a cancellation takes effect when it is done."""
    running = _thread(work)
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        running.exception()  # it was looked at
        raise cancelled
    return running.result()


def _thread(work: Callable[[], T]) -> asyncio.Future[T]:
    return asyncio.get_running_loop().run_in_executor(None, copy_context().run, work)
