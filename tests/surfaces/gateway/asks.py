"""A gateway before a server that asks, and its client of either era.

async with between(tmp_path, server=MODERN, client="legacy") as a:
    request = await a.start({"form": FORM})
    await a.answer((await a.asked())["id"], YES)
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from taskbound.core.tool import QUESTION_NAMES
from taskbound.surfaces.gateway.link import Timings
from taskbound.wire.action import Decide, Malformed, Outcome, Reason, Refused
from tests.peers.commands import asking
from tests.peers.daemon import rows_of
from tests.surfaces.gateway.bench import bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from tests.surfaces.gateway.bench import Bench

Message = dict[str, Any]
LEGACY, MODERN = "2025-11-25", "2026-07-28"
FORM: Message = {
    "method": "elicitation/create",
    "params": {
        "message": "How much?",
        "requestedSchema": {
            "type": "object",
            "properties": {
                "much": {"type": "number", "default": 95.5, "description": "é"},
                "what": {"type": "string", "oneOf": [{"const": "a", "title": "A"}], "default": "a"},
                "old": {"type": "string", "enum": ["x", "y"], "enumNames": ["X", "Y"]},
            },
            "required": ["much"],
        },
    },
}
SAMPLE: Message = {
    "method": "sampling/createMessage",
    "params": {"messages": [{"role": "user", "content": {"type": "text", "text": "Hm?"}}], "maxTokens": 10},
}
ROOTS: Message = {"method": "roots/list", "params": {}}
YES: Message = {"action": "accept", "content": {"much": 1.5}}
SAID: Message = {"role": "assistant", "content": {"type": "text", "text": "hm"}, "model": "m"}
FOLDERS: Message = {"roots": [{"uri": "file:///srv", "name": "srv"}]}
ABLE: Message = {"elicitation": {}, "sampling": {}, "roots": {}}
LABEL = "[The MCP server `ask` asks this, not Taskbound] "


class Asking:
    """A gateway before a server that asks, and its client of either era."""

    def __init__(self, b: Bench, log: Path, able: Message, *, modern: bool) -> None:
        self.b, self.log, self.able, self.modern = b, log, able, modern

    def params(self, arguments: Message, **more: Any) -> Message:
        meta = {"io.modelcontextprotocol/clientCapabilities": self.able}
        return {
            "name": "ask__work",
            "arguments": arguments,
            **({"_meta": meta} if self.modern else {}),
            **more,
        }

    async def start(self, *rounds: Message, **arguments: Any) -> int:
        given = {"rounds": list(rounds), **arguments}
        return await self.b.start("tools/call", self.params(given), modern=self.modern)

    async def asked(self, method: str = "elicitation/create") -> Message:
        """What a legacy client is asked next."""
        return await self.b.wait_for(lambda one: one.get("method") == method)

    async def answer(self, name: object, result: Message, member: str = "result") -> None:
        await self.b.send(json.dumps({"jsonrpc": "2.0", "id": name, member: result}).encode() + b"\n")

    async def again(self, arguments: Message, state: str, answers: Message) -> Message:
        """What a modern client is answered that comes back."""
        params = self.params(arguments, requestState=state, inputResponses=answers)
        return await self.b.request("tools/call", params, modern=True)

    async def seen_through(self, answers: dict[str, Message], *rounds: Message, **arguments: Any) -> Message:
        """The answer to a call, with each of its questions answered by its method."""
        request = await self.start(*rounds, **arguments)
        while True:
            found = await self.b.wait_for(lambda one: "id" in one)
            if "method" in found:
                await self.answer(found["id"], answers[found["method"]])
            elif found["id"] == request and found.get("result", {}).get("resultType") == "input_required":
                asked, state = found["result"]["inputRequests"], found["result"]["requestState"]
                given = {key: answers[one["method"]] for key, one in asked.items()}
                params = self.params(
                    {"rounds": list(rounds), **arguments}, requestState=state, inputResponses=given
                )
                request = await self.b.start("tools/call", params, modern=True)
            else:
                return found

    def heard(self) -> list[Message]:
        """What the server was answered, in order."""
        lines = [json.loads(line) for line in self.log.read_bytes().splitlines()]
        return [one for one in lines if "method" not in one]

    def calls(self) -> list[Message]:
        lines = [json.loads(line) for line in self.log.read_bytes().splitlines()]
        return [one["params"] for one in lines if one.get("method") == "tools/call"]

    def decided(self) -> list[str]:
        return [one.tool for one in self.b.daemon.asks if isinstance(one, Decide)]

    def outcomes(self) -> list[tuple[str, str]]:
        return [(one.action, one.outcome) for one in self.b.daemon.asks if isinstance(one, Outcome)]

    def recorded(self) -> list[str]:
        return [one.code for one in self.b.daemon.asks if isinstance(one, Malformed)]

    async def until_answered(self, count: int = 1) -> list[Message]:
        await self.b.until(lambda: len(self.heard()) >= count)
        return self.heard()


@contextlib.asynccontextmanager
async def between(  # noqa: PLR0913 -- what a test may want to be otherwise
    tmp_path: Path,
    *,
    server: str = LEGACY,
    client: str = "legacy",
    able: Message = ABLE,
    granted: Iterable[str] = QUESTION_NAMES,
    question: float = 20.0,
    hold: float = 0.0,
) -> AsyncIterator[Asking]:
    log = tmp_path / "log"
    timings = Timings(grace=1.0, ping=0.2, cancel=0.15, hold=hold, leave=5.0, question=question)
    async with bench(
        tmp_path, asking(log=log), name="ask", era=server, timings=timings, handshake=False
    ) as b:
        b.daemon.tools += rows_of(b.daemon.servers[0], [], sorted(granted))
        log.unlink()
        if client == "legacy":
            await b.handshake(**able)
        yield Asking(b, log, able, modern=client == "modern")


def refusing(a: Asking, method: str, code: str = "outside-scope") -> None:
    def decide(ask: Decide) -> Refused | None:
        if not ask.tool.endswith(method):
            return None
        why = (Reason(code=code, text="no"),)
        return Refused(code=code, action="act_no", task="tsk_1", reasons=why, instead="")

    a.b.daemon.on[Decide] = decide


def shown(found: Message) -> Message:
    """The one question of an answer that asks."""
    (one,) = found["result"]["inputRequests"].values()
    params: Message = one["params"]
    return params
