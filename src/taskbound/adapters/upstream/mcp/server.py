"""A running upstream server, ready for calls: what a gateway is given, and who makes it.

1. A call carries the name, the canonical arguments and `_meta` that is built here: what the modern era
   asks for (what the client can be asked is said there), a key, a level of logs, and its own number as the
   token of its progress. A modern server also gets the answers to what it asked for, and its own state.
   Nothing else of a client's request goes upstream.
2. Starting ends in a server that is ready, or in an error and no process.
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import TYPE_CHECKING

import msgspec

from taskbound.adapters.upstream.mcp.errors import StartFailedError
from taskbound.adapters.upstream.mcp.family import end_orphans
from taskbound.adapters.upstream.mcp.handshake import (
    log_from,
    members_of,
    open_session,
    params_for,
    request_of,
)
from taskbound.adapters.upstream.mcp.listing import list_entries, list_tools
from taskbound.adapters.upstream.mcp.news import listen, unsubscribe
from taskbound.adapters.upstream.mcp.process import ServerProcess
from taskbound.adapters.upstream.mcp.session import Session
from taskbound.adapters.upstream.mcp.task import Bounds, Tasks
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError
from taskbound.ports.upstream import Turn
from taskbound.wire.mcp.era import is_modern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.adapters.upstream.mcp.filling import Filling
    from taskbound.adapters.upstream.mcp.handshake import Opened
    from taskbound.adapters.upstream.mcp.task import Wanted
    from taskbound.core.tool import ServerIdentity
    from taskbound.ports.upstream import Logged, Told, UpstreamAnswer, UpstreamEvents


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many seconds each step may take."""

    start: float = 60.0
    """From the start to the first answer; a runner may fetch its package meanwhile."""
    discover: float = 10.0
    """For the answer to `server/discover` when the era is not known yet."""
    listing: float = 30.0
    """For one page of tools."""
    stop: float = 1.0
    """For each step of ending a server."""
    task: Bounds = field(default_factory=Bounds)
    """For tasks of a server's own."""


class StdioServer:
    """One running server (`ports.upstream.Upstream`)."""

    def __init__(self, process: ServerProcess, session: Session, opened: Opened, patience: Patience) -> None:
        """Take over a server whose connection is open."""
        self._process = process
        self._session = session
        self._era = opened.era
        self._methods = opened.methods
        self._logs = opened.logs
        self._patience = patience
        self._tasks = Tasks(session, opened.era, able=opened.tasks, bounds=patience.task)

    @property
    def era(self) -> str:
        """The revision of MCP that it speaks."""
        return self._era

    @property
    def methods(self) -> tuple[str, ...]:
        """What it says that it can be asked for beside its tools."""
        return self._methods

    @property
    def logs(self) -> bool:
        """Whether it says that it logs."""
        return self._logs

    @property
    def alive(self) -> bool:
        """Whether calls can be sent to it."""
        return self._session.alive

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def unsent(self) -> int:
        """Bytes that it has not taken yet."""
        return self._session.unsent

    async def list_tools(self) -> tuple[bytes, ...]:
        """Every tool object that it lists now, each exactly as received."""
        found = await list_tools(self._session, self._era, patience=self._patience.listing)
        self._tasks.learn(found)
        return found

    async def list_entries(self, method: str) -> tuple[bytes, ...]:
        """All that it lists by this method, each exactly as received."""
        return await list_entries(self._session, self._era, method, patience=self._patience.listing)

    def call(  # noqa: PLR0913 -- a call, and what is wanted of it beside its answer
        self,
        tool: str,
        arguments: bytes,
        answer: Callable[[UpstreamAnswer], None],
        *,
        key: str = "",
        progress: Told | None = None,
        logged: Logged | None = None,
        action: str = "",
        turn: Turn | None = None,
    ) -> int:
        """Send one call and return its number (rule 1)."""
        del action
        if tool == "resources/subscribe" and is_modern(self._era):
            return self._subscribe(arguments, answer)
        method, members = request_of(tool, arguments)
        before = members_of(turn or Turn()) + members
        level = logged.level if logged is not None else ""

        def send(wanted: Wanted, heard: Callable[[UpstreamAnswer], None], told: Told | None) -> int:
            token = self._session.upcoming if told is not None else None
            more = before + wanted.members
            params = params_for(self._era, more, key=key, token=token, level=level, offers=wanted.offers)
            return self._session.send(method, params, heard, progress=told, logged=logged)

        return self._tasks.call(method, tool, answer, send, turn=turn, progress=progress, logged=logged)

    async def log_from(self, level: str) -> None:
        """Have it log from this level on, if it is a legacy one that logs."""
        if self._logs and not is_modern(self._era):
            await log_from(self._session, level)

    def _subscribe(self, arguments: bytes, answer: Callable[[UpstreamAnswer], None]) -> int:
        """Subscribe by a modern server's stream of news."""
        listening = self._session.listening
        if listening is None:
            return self._session.send("resources/subscribe", params_for(self._era, arguments[1:-1]), answer)
        return listening.subscribe(msgspec.json.decode(arguments, type=dict[str, str])["uri"], answer)

    async def unsubscribe(self, uri: str) -> None:
        """Have it say nothing more of this URI."""
        if self._session.listening is not None:
            self._session.listening.leave(uri)
        elif not is_modern(self._era):
            await unsubscribe(self._session, uri)

    def cancel(self, number: int, reason: str) -> None:
        """Ask it to stop working on a call; an answer may still come."""
        if number < 0 and self._session.listening is not None:
            self._session.listening.cancel(number)
        elif not self._tasks.cancel(number):
            self._session.cancel(number, reason)

    def forget(self, number: int) -> None:
        """Drop whatever answer to the call may come."""
        if number < 0 and self._session.listening is not None:
            self._session.listening.forget(number)
        elif not self._tasks.forget(number):
            self._session.forget(number)

    def pause(self) -> None:
        """Read nothing more from it until `resume`."""
        self._tasks.pause()
        self._process.pause()

    def resume(self) -> None:
        """Read on."""
        self._tasks.resume()
        self._process.resume()

    def kill(self, reason: str) -> None:
        """End it and all that it started, at once."""
        self._session.end(reason)

    async def close(self) -> None:
        """End it in peace, then by force, once it was told which of its tasks are cancelled."""
        if self.alive:
            await self._tasks.finish(self._patience.stop)
        await self._process.stop(grace=self._patience.stop)
        self._session.end("the server was ended")


class StdioStarter:
    """Starts servers as they are pinned (`ports.upstream.StartUpstream`)."""

    def __init__(self, *, patience: Patience | None = None, ours: Mapping[str, str] | None = None) -> None:
        """Start with this patience.

        Args:
            patience: How long each step may take.
            ours: This process's environment, of which a server gets what every program needs.
        """
        self._patience = patience or Patience()
        self._ours = dict(os.environ) if ours is None else ours
        self._pids: set[int] = set()
        self._starting = 0

    def sweep(self) -> None:
        """End and reap what servers have left behind beneath this process.

        Not while one is being started: until it is known it looks like something left behind.
        """
        if not self._starting:
            end_orphans(self._pids)

    async def __call__(  # noqa: PLR0913 - the shape of the port, and what fills slots
        self,
        identity: ServerIdentity,
        *,
        era: str,
        events: UpstreamEvents,
        name: str = "",
        filling: Filling | None = None,
        offers: bytes = b"{}",
        task: str = "",
    ) -> StdioServer:
        """The server, started, of the pinned era, ready for calls; `filling` is in its slots.

        Raises:
            ServerChangedError: Something pinned is different.
            EraChangedError: It speaks another revision than it did.
            StartFailedError: It does not start, or not in time.
        """
        del name, task
        session = Session(events, offers=b"{}" if is_modern(era) else offers)
        secret = filling.environment if filling is not None else ()
        self._starting += 1
        try:
            process = await ServerProcess.start(identity, session, ours=self._ours, secret=secret)
            self._pids.add(process.pid)
        finally:
            self._starting -= 1
        session.attach(process)
        try:
            opened = await open_session(session, era, patience=self._patience.start, offers=offers)
        except UnavailableError as error:
            await process.stop(grace=self._patience.stop)
            detail = process.tail()
            raise StartFailedError(f"the server does not start: {error.message}", detail=detail) from error
        except BaseException:  # denied or cancelled: nothing of it may go on running (rule 2)
            process.kill()
            await process.stop(grace=self._patience.stop)
            raise
        session.listening = listen(session, events, opened)
        return StdioServer(process, session, opened, self._patience)
