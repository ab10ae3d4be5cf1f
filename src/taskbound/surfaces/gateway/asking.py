"""A request beside `tools/call`: whose it is, the action that it makes, and how its end is told.

1. Each is a call as any other (`calls`), of the tool `SERVER__METHOD`: decided, recorded, sent once.
2. A prompt names its server. A URI does not: it is for the one server whose grants cover it; where those of
   several do, for the one of them that lists it or a template for it. Where that is nobody, or more than one,
   nothing is asked, and one record says so.
3. What there is not and what is not permitted get one and the same answer, whatever the server says of it;
   the record tells them apart. Anything else that is in the way is told by name.
4. The answer is the server's, byte for byte. For a modern client it says that it is private, which MCP asks
   of whoever answers by permission, and has what that era needs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.core.tool import SEPARATOR
from taskbound.surfaces.gateway.answers import NO_DECISION, decision_in
from taskbound.surfaces.gateway.errors import INTERNAL_ERROR, INVALID_PARAMS, code_of, data_of, rpc_code
from taskbound.surfaces.gateway.reach import covered_among
from taskbound.wire.mcp.write import failure_line, result_line

if TYPE_CHECKING:
    from taskbound.surfaces.gateway.binding import Binding, Running
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.calls import Calls
    from taskbound.surfaces.gateway.entries import Entries
    from taskbound.surfaces.gateway.link import Link
    from taskbound.surfaces.gateway.reports import Reports
    from taskbound.surfaces.gateway.standing import Standing
    from taskbound.surfaces.gateway.wanted import Wanted


_NOT_FOUND: Final = -32002
"""What a legacy server says of a resource that is not there; modern ones must not."""
_ABSENT: Final = frozenset(
    {"forbidden", "not-permitted", "outside-scope", "unknown-resource", "unknown-tool"}
)
_ADVICE: Final = "list what there is for this task, or ask the person who opened it"


class UnknownResourceError(DeniedError):
    """No server of the task is known to serve the URI."""

    code = "unknown-resource"
    remedy = _ADVICE


class ShadowedResourceError(DeniedError):
    """Two servers claim one URI, and the task covers it of both."""

    code = "shadowed-resource"
    remedy = "ask the person who opened the task to grant the URI of one of the servers only"


class Asking:
    """Makes calls of such requests; used in the loop."""

    def __init__(
        self, link: Link, standing: Standing, entries: Entries, calls: Calls, reports: Reports
    ) -> None:
        """Keep what to find servers and make calls with."""
        self._link = link
        self._reports = reports
        self._standing = standing
        self._entries = entries
        self._calls = calls

    async def run(self, call: Call, wanted: Wanted, asked: bytes) -> bytes:
        """See one request through, and return the line that answers it; empty when it gets none.

        Args:
            call: The call that it becomes.
            wanted: What it asks for.
            asked: The client's line, for the record of one that becomes no call.
        """
        try:
            call.server = call.server or await self._server_of(wanted)
        except TaskboundError as error:
            if call.is_left:
                return b""
            self._reports.line(error, asked, tool="")  # 2
            if code_of(error) in _ABSENT:
                return not_there(call.id_raw, wanted.shown, modern=call.modern)
            return failure_line(call.id_raw, rpc_code(error), error.message, data_of(error))
        call.tool = f"{call.server}{SEPARATOR}{wanted.method}"
        line = await self._calls.run(call)
        return _told(call, wanted, line) if line else b""

    async def _server_of(self, wanted: Wanted) -> str:
        """The name of the server that the URI is of (rule 2)."""
        binding = await self._standing.bind()
        able = able_servers(binding, wanted.method)
        if len(able) == 1:
            return next(iter(able))
        covering = [name for name in able if await self._covers(name, wanted)]
        if not covering and able:
            return next(iter(able))  # it is refused there, and recorded as an action
        if len(covering) == 1:
            return covering[0]
        claims = await asyncio.gather(*(self._claims(able[name], wanted.uri) for name in covering))
        claiming = [name for name, claimed in zip(covering, claims, strict=True) if claimed]
        if not claiming:
            raise UnknownResourceError("no server of the task lists this URI")
        if len(claiming) > 1:
            names = " and ".join(f"`{name}`" for name in claiming)
            raise ShadowedResourceError(f"the servers {names} both claim this URI")
        return claiming[0]

    async def _covers(self, server: str, wanted: Wanted) -> bool:
        tool = f"{server}{SEPARATOR}{wanted.method}"
        return bool(await covered_among(self._link, tool, [wanted.arguments], how="whole"))

    async def _claims(self, running: Running, uri: str) -> bool:
        """Whether the server claims the URI; one that can't be listed may, and so does not stand back."""
        try:
            return await self._entries.claim(running, uri)
        except TaskboundError:
            return True


def able_servers(binding: Binding, method: str) -> dict[str, Running]:
    """The servers of the task that can be asked by this method, by name and in order of names."""
    return {
        name: running
        for name, running in sorted(binding.servers.items())
        if f"{name}{SEPARATOR}{method}" in binding.reach
    }


def not_there(request: bytes, shown: tuple[str, str], *, modern: bool) -> bytes:
    """The answer to a request for what there is not, or not for this task (rule 3)."""
    name, value = shown
    legacy = name == "uri" and not modern
    data = canonical({"advice": _ADVICE, "code": "not-there", name: value})
    words = "there is nothing of this name for the task"
    return failure_line(request, _NOT_FOUND if legacy else INVALID_PARAMS, words, data)


def _told(call: Call, wanted: Wanted, line: bytes) -> bytes:
    """The line of a call as this request is answered (rules 3 and 4)."""
    members = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    if "error" in members:
        code = msgspec.json.decode(members["error"], type=dict[str, msgspec.Raw])["code"]
        gone = wanted.uri and int(bytes(code)) in {_NOT_FOUND, INVALID_PARAMS}
        return not_there(call.id_raw, wanted.shown, modern=call.modern) if gone else line
    raw = bytes(members["result"])
    decision = decision_in(raw)
    if decision is not NO_DECISION:
        if decision.code in _ABSENT:
            return not_there(call.id_raw, wanted.shown, modern=call.modern)
        return failure_line(call.id_raw, INTERNAL_ERROR, decision.words, decision.data)
    if not call.modern or wanted.method != "resources/read":
        return line
    result = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    private = msgspec.Raw(b'"private"')
    if result.get("cacheScope") == private and "ttlMs" in result:
        return line
    result = {"ttlMs": msgspec.Raw(b"0")} | result | {"cacheScope": private}
    written = b",".join(b"%b:%b" % (canonical(name), bytes(one)) for name, one in result.items())
    return result_line(call.id_raw, b"{%b}" % written)
