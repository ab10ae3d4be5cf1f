"""A gateway before a server, and clients of both revisions that come back for their calls.

async with coming_back(tmp_path, asking(log=log), modern=False) as c:
    name = await c.begin("odd__work", {})
    assert (await c.status(name)) == "working"
    assert text_of(await c.result(name)) == "done"
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from taskbound.surfaces.gateway.link import Timings
from taskbound.wire.mcp.task import TASKS_EXTENSION
from tests.peers.daemon import rows_of
from tests.surfaces.gateway.bench import bench
from tests.waiting import others

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from tests.surfaces.gateway.bench import Bench


Message = dict[str, Any]
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
ABLE: Message = {"elicitation": {}, "sampling": {}, "roots": {}}
ENDED = frozenset({"completed", "failed", "cancelled"})


class Back:
    """A client that comes back for its calls."""

    def __init__(self, b: Bench, *, modern: bool) -> None:
        self.b, self.modern = b, modern

    def meta(self) -> Message:
        """What a modern client says of itself with each request."""
        return {"_meta": {CAPABILITIES: {**ABLE, "extensions": {TASKS_EXTENSION: {}}}}}

    async def begin(self, tool: str, arguments: Message | None = None, **more: Any) -> str:
        """The name of a call that was answered with one."""
        answer = await self.b.answer_to(await self.start(tool, arguments, **more))
        assert "result" in answer, answer
        found: str = answer["result"]["taskId"] if self.modern else answer["result"]["task"]["taskId"]
        return found

    async def start(self, tool: str, arguments: Message | None = None, **more: Any) -> int:
        """Make such a call, and return its id at once."""
        params: Message = {"name": tool, "arguments": arguments or {}}
        params |= self.meta() if self.modern else {"task": {}}
        return await self.b.start("tools/call", params | more, modern=self.modern)

    async def ask(self, method: str, name: str = "", **more: Any) -> Message:
        """The answer to a request about calls."""
        return await self.b.answer_to(await self.asking(method, name, **more))

    async def asking(self, method: str, name: str = "", **more: Any) -> int:
        """Send such a request, and return its id at once."""
        params: Message = ({"taskId": name} if name else {}) | more
        params |= self.meta() if self.modern else {}
        return await self.b.start(method, params, modern=self.modern)

    async def get(self, name: str) -> Message:
        """What is told of a call."""
        answer = await self.ask("tasks/get", name)
        assert "result" in answer, answer
        found: Message = answer["result"]
        return found

    async def status(self, name: str) -> str:
        """How far it is."""
        found: str = (await self.get(name))["status"]
        return found

    async def until(self, name: str, *wanted: str) -> Message:
        """What is told of a call once it is so far."""
        async with asyncio.timeout(20):
            while (found := await self.get(name))["status"] not in (wanted or ENDED):
                await others()
        return found

    async def result(self, name: str) -> Message:
        """The answer that the call itself would have had: its result or its error."""
        if not self.modern:
            return await self.ask("tasks/result", name)
        found = await self.until(name)
        return {member: found[member] for member in ("result", "error") if member in found}


@contextlib.asynccontextmanager
async def coming_back(  # noqa: PLR0913 -- what a test is about, by name
    tmp_path: Path,
    command: Sequence[str],
    *,
    modern: bool,
    name: str = "odd",
    era: str = "",
    granted: Iterable[str] = (),
    patience: float = 0.01,
    hold: float = 0.0,
) -> AsyncIterator[Back]:
    """Such a client, before a gateway whose daemon permits everything."""
    timings = Timings(
        grace=1.0, ping=0.2, cancel=0.15, hold=hold, leave=5.0, question=20.0, patience=patience
    )
    async with bench(tmp_path, command, name=name, era=era, timings=timings, handshake=False) as b:
        if granted:
            b.daemon.tools += rows_of(b.daemon.servers[0], [], sorted(granted))
        if not modern:
            await b.handshake(**ABLE)
        yield Back(b, modern=modern)
