"""A running stdio server: calls, listings, and filled slots.

1. A call carries name, canonical arguments, `_meta` built here (client capabilities, idempotency key, log
   level, progress token), and for a modern server the answers and state that it requested. Nothing else comes
   from the client's request.
2. Starting ends with a ready server, or with an error and no process.

Listing:

1. At most 100 pages, 1,000 objects and 3 MiB (`core.tool`).
2. A repeated cursor is an error (A164).
3. Objects keep their received bytes.
4. An unknown method means an empty list, except for tools.

Slots (`SlotValues`):

1. Variables go into the environment, headers and parameters into each request; arguments are filled
   elsewhere.
2. Each request to a URL carries the current OAuth token.
3. No value is in a repr.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import field
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote

import msgspec

from taskbound.adapters.upstream.mcp.errors import ListRefusedError, StartFailedError
from taskbound.adapters.upstream.mcp.handshake import (
    log_from,
    members_of,
    open_session,
    params_for,
    request_of,
)
from taskbound.adapters.upstream.mcp.news import listen, unsubscribe
from taskbound.adapters.upstream.mcp.process import ServerProcess, end_orphans
from taskbound.adapters.upstream.mcp.session import Session
from taskbound.adapters.upstream.mcp.task import Bounds, Tasks
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError
from taskbound.core.tool import MAX_DEFINITIONS, MAX_TOOLS
from taskbound.core.tool.name import shown
from taskbound.ports.upstream import Answered, Errored, QuestionRound
from taskbound.wire.mcp.message import is_modern, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.adapters.upstream.mcp.handshake import Opened
    from taskbound.adapters.upstream.mcp.session import Headers, McpSession
    from taskbound.adapters.upstream.mcp.task import Wanted
    from taskbound.core.tool import ServerIdentity, Slot
    from taskbound.ports.upstream import Logged, Told, UpstreamAnswer, UpstreamEvents


_MAX_PAGES: Final = 100
_MAX_CURSOR: Final = 4096
_METHOD_NOT_FOUND: Final = -32601
_MEMBERS: Final = {
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "tools/list": "tools",
}
"""Each method that lists, with the member of its result that is the list."""


class _Page(msgspec.Struct):
    tools: list[msgspec.Raw] = []
    prompts: list[msgspec.Raw] = []
    resources: list[msgspec.Raw] = []
    resourceTemplates: list[msgspec.Raw] = []  # noqa: N815 -- MCP's own name
    nextCursor: str | None = None  # noqa: N815 -- the same


_page: Final = msgspec.json.Decoder(_Page)


async def list_tools(session: McpSession, era: str, *, patience: float) -> tuple[bytes, ...]:
    return await _list(session, era, "tools/list", patience=patience)


async def list_entries(session: McpSession, era: str, method: str, *, patience: float) -> tuple[bytes, ...]:
    """Lists all entries by this method within `patience` seconds in total; raises as `list_tools`."""
    try:
        async with asyncio.timeout(patience):
            return await _list(session, era, method, patience=patience)
    except TimeoutError as error:
        raise ListRefusedError(f"the server's answers to `{method}` take more than {patience:g} s") from error


async def _list(session: McpSession, era: str, method: str, *, patience: float) -> tuple[bytes, ...]:
    member = _MEMBERS[method]
    found: list[bytes] = []
    size = 0
    seen: set[str] = set()
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        members = b'"cursor":%b' % text(cursor) if cursor is not None else b""
        answer = await session.ask(method, params_for(era, members), patience=patience)
        if isinstance(answer, Errored) and answer.code == _METHOD_NOT_FOUND and member != "tools":
            return ()  # 4
        page = _read(answer, member)
        entries: list[msgspec.Raw] = getattr(page, member)
        found += map(bytes, entries)
        size += sum(map(len, entries))
        if len(found) > MAX_TOOLS or size > MAX_DEFINITIONS:
            raise ListRefusedError(
                f"the server lists more than {MAX_TOOLS} {member} or {MAX_DEFINITIONS} bytes"
            )
        cursor = page.nextCursor
        if cursor is None:
            return tuple(found)
        if cursor in seen or len(cursor) > _MAX_CURSOR:
            raise ListRefusedError("the pages of the server's list go round")  # 2
        seen.add(cursor)
    raise ListRefusedError(f"the server's list has more than {_MAX_PAGES} pages")


def _read(answer: Answered | Errored, member: str) -> _Page:
    if not isinstance(answer, Answered):
        raise ListRefusedError(f"the server refuses to list its {member}: {shown(answer.message)}")
    if not isinstance(answer.value.get(member), list):
        raise ListRefusedError(f"the server's list of {member} is none")
    try:
        return _page.decode(answer.raw)  # 3
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ListRefusedError(f"the server's list of {member} can't be read") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimeouts:
    """Seconds for each step."""

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


class McpServer:
    """One ready server (`ports.upstream.Upstream`), whatever carries its session."""

    def __init__(self, session: McpSession, opened: Opened, patience: StepTimeouts) -> None:
        self._session = session
        self.era = opened.era
        self.methods = opened.methods
        self.logs = opened.logs
        self._patience = patience
        self._tasks = Tasks(session, opened.era, able=opened.tasks, bounds=patience.task)

    @property
    def alive(self) -> bool:
        return self._session.alive

    @property
    def unsent(self) -> int:
        return self._session.unsent

    async def list_tools(self) -> tuple[bytes, ...]:
        found = await list_tools(self._session, self.era, patience=self._patience.listing)
        self._tasks.learn(found)
        return found

    async def list_entries(self, method: str) -> tuple[bytes, ...]:
        return await list_entries(self._session, self.era, method, patience=self._patience.listing)

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
        turn: QuestionRound | None = None,
    ) -> int:
        del action
        if tool == "resources/subscribe":
            if is_modern(self.era):
                return self._subscribe(arguments, answer)
            answer = self._subscribing(arguments, answer)
        headers = self._headers(tool, arguments)
        method, members = request_of(tool, arguments)
        before = members_of(turn or QuestionRound()) + members
        level = logged.level if logged is not None else ""

        def send(wanted: Wanted, heard: Callable[[UpstreamAnswer], None], told: Told | None) -> int:
            token = self._session.upcoming if told is not None else None
            more = before + wanted.members
            params = params_for(self.era, more, key=key, token=token, level=level, offers=wanted.offers)
            return self._session.send(method, params, heard, headers=headers, progress=told, logged=logged)

        return self._tasks.call(method, tool, answer, send, turn=turn, progress=progress, logged=logged)

    async def log_from(self, level: str) -> None:
        if self.logs and not is_modern(self.era):
            await log_from(self._session, level)

    def _headers(self, tool: str, arguments: bytes) -> Headers:
        """Returns the headers of a call, where the session has any."""
        del tool, arguments
        return ()

    def _subscribing(
        self, arguments: bytes, answer: Callable[[UpstreamAnswer], None]
    ) -> Callable[[UpstreamAnswer], None]:
        """Returns what hears the answer to a legacy subscription."""
        del arguments
        return answer

    def _subscribe(self, arguments: bytes, answer: Callable[[UpstreamAnswer], None]) -> int:
        listening = self._session.listening
        if listening is None:
            return self._session.send("resources/subscribe", params_for(self.era, arguments[1:-1]), answer)
        return listening.subscribe(msgspec.json.decode(arguments, type=dict[str, str])["uri"], answer)

    async def unsubscribe(self, uri: str) -> None:
        if self._session.listening is not None:
            self._session.listening.leave(uri)
        elif not is_modern(self.era):
            await unsubscribe(self._session, uri)

    def cancel(self, number: int, reason: str) -> None:
        """Asks it to cancel a call; an answer may still come."""
        if number < 0 and self._session.listening is not None:
            self._session.listening.cancel(number)
        elif not self._tasks.cancel(number):
            self._session.cancel(number, reason)

    def forget(self, number: int) -> None:
        if number < 0 and self._session.listening is not None:
            self._session.listening.forget(number)
        elif not self._tasks.forget(number):
            self._session.forget(number)

    def pause(self) -> None:
        self._tasks.pause()
        self._session.pause()

    def resume(self) -> None:
        self._tasks.resume()
        self._session.resume()

    def kill(self, reason: str) -> None:
        self._session.end(reason)

    async def close(self) -> None:
        if self.alive:
            await self._tasks.finish(self._patience.stop)
        await self._session.close(grace=self._patience.stop)


class StdioServer(McpServer):
    """One running server."""

    def __init__(
        self, process: ServerProcess, session: Session, opened: Opened, patience: StepTimeouts
    ) -> None:
        super().__init__(session, opened, patience)
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid


class StdioStarter:
    """Starts servers as pinned; `ours` is this process's environment, filtered for servers."""

    def __init__(
        self, *, patience: StepTimeouts | None = None, ours: Mapping[str, str] | None = None
    ) -> None:
        self._patience = patience or StepTimeouts()
        self._ours = dict(os.environ) if ours is None else ours
        self._pids: set[int] = set()
        self._starting = 0

    def sweep(self) -> None:
        """Kills and reaps orphans of servers, unless a server is starting, which would look like one."""
        if not self._starting:
            end_orphans(self._pids)

    async def __call__(  # noqa: PLR0913 - the shape of the port, and what fills slots
        self,
        identity: ServerIdentity,
        *,
        era: str,
        events: UpstreamEvents,
        name: str = "",
        filling: SlotValues | None = None,
        offers: bytes = b"{}",
        task: str = "",
    ) -> StdioServer:
        """Returns the server in its pinned era, ready for calls."""
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


class Tokens(Protocol):
    """The tokens of one server."""

    async def current(self) -> str:
        """Returns a valid token. MUST raise `TaskboundError` without one."""

    def refused(self, token: str) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotValues:
    """Slot values by kind and name."""

    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    query: str = field(default="", repr=False)
    """Parameters as they stand in a URL, without a mark before them."""
    tokens: Tokens | None = field(default=None, repr=False)

    def target(self, target: str) -> str:
        if not self.query:
            return target
        return f"{target}{'&' if '?' in target else '?'}{self.query}"


def fill(values: Mapping[Slot, str], tokens: Tokens | None = None) -> SlotValues:
    ordered = sorted(values.items(), key=lambda one: one[0].text)
    return SlotValues(
        environment=tuple((slot.name, value) for slot, value in ordered if slot.kind == "environment"),
        headers=tuple((slot.name, value) for slot, value in ordered if slot.kind == "header"),
        query="&".join(
            f"{quote(slot.name, safe='')}={quote(value, safe='')}"
            for slot, value in ordered
            if slot.kind == "query"
        ),
        tokens=tokens,
    )
