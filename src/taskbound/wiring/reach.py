"""How a gateway's process reaches the daemon, which it starts where it may."""

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
    """Makes connections to the daemon of one data directory, which is started if it may be."""

    def __init__(
        self, home: Path, hello: Open, ensure: Callable[[Path], Path], *, turn: asyncio.Lock | None = None
    ) -> None:
        """Say this when a connection is opened.

        Args:
            home: The data directory.
            hello: How a connection begins.
            ensure: Finds the daemon's socket for a data directory, starting a daemon if it may.
            turn: Shared by all of one process that has several: only one at a time starts a daemon.
        """
        self._home = home
        self._hello = hello
        self._ensure = ensure
        self._turn = turn or asyncio.Lock()
        self.starting = False

    async def __call__(
        self, *, resume: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> tuple[AsyncClient, Opened]:
        """The connection, and what the daemon said when it opened."""
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
    """Let a daemon that is started now be the system's child, and not this process's."""
    adopt_orphans(on=False)
    try:
        yield
    finally:
        adopt_orphans()
