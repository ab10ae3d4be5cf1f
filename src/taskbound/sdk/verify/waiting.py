"""How what runs on a loop waits for the disk and the issuer: in threads, whole, also where it is cancelled.

1. What is waited for is a future of the loop's threads and no task: a loop that ends cancels its tasks, and
   waits for its threads.
2. What was begun for one that was cancelled meanwhile is lost: nobody is left who would do it.
3. What is said after something ran never takes the place of what came of it: a claim that can't be written as
   lost is so all the same (`core.token.served`, and `Claims.lose`).
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
    """Say that nobody knows what came of it; whatever that raises is not said (rule 3)."""
    with suppress(Exception):
        verifier.lose(accepted)


async def taken(verifier: Verifier, take: Callable[[], T]) -> T:
    """What becomes of a request, whatever it raises.

    Args:
        verifier: Verifies.
        take: Gives `Accepted` where it began the request: that is lost for one who is cancelled (rule 2).
    """
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
    """What this gives, whatever it raises; a task that is cancelled meanwhile is so when this is done."""
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
