"""Connects a gateway process to the daemon, which it may start."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from msgspec import structs

from taskbound.adapters.upstream.mcp.process import adopt_orphans
from taskbound.sdk.client import AsyncClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from taskbound.wire.connection import Open, Opened
    from taskbound.wire.envelope import Push


class Reach:
    """Connects to the daemon of one data directory.

    `turn` is shared by all instances of a process: only one of them starts a daemon at a time.
    """

    def __init__(
        self, home: Path, hello: Open, ensure: Callable[[Path], Path], *, turn: asyncio.Lock | None = None
    ) -> None:
        self._home = home
        self._hello = hello
        self._ensure = ensure
        self._turn = turn or asyncio.Lock()
        self.starting = False

    async def __call__(
        self, *, resume: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> tuple[AsyncClient, Opened]:
        async with self._turn:
            self.starting = True
            try:
                with _not_adopting():
                    path = await asyncio.to_thread(self._ensure, self._home)
            finally:
                self.starting = False
        hello = structs.replace(self._hello, resume=resume)
        return await AsyncClient.connect(path, hello, pushed=pushed, lost=lost)


@contextlib.contextmanager
def _not_adopting() -> Iterator[None]:
    adopt_orphans(on=False)
    try:
        yield
    finally:
        adopt_orphans()
