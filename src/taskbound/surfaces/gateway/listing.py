"""What tools the client is shown, and how it learns that they are others now.

1. Only tools that the task can reach, as they were pinned, under their full names
   (`server__tool`), and no methods, which are asked for by themselves. What is shown gives no right: every
   call is decided.
2. The list is the client's alone (`cacheScope: private`) and never to be kept (`ttlMs: 0`):
   it is another one when the task is.
3. A legacy client is told of changes once it is initialized; a modern one when it has
   opened `subscriptions/listen` for them (MCP 2026-07-28, Subscriptions).
4. What is declared is what the servers of the task are pinned with, and no more. Where it can't be known
   it is tools alone.
5. A client of 2025-11-25 is told of every tool that its calls can be MCP tasks and need not be, whatever its
   server says of its own: the gateway can wait, and its client need not.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import TaskboundError
from taskbound.core.tool import is_reserved, parse_tool_name
from taskbound.surfaces.gateway.eras import crosses, offered
from taskbound.surfaces.gateway.errors import code_of
from taskbound.wire.mcp.era import DECISION_KEY, SUBSCRIPTION_KEY
from taskbound.wire.mcp.task import TaskSupport
from taskbound.wire.mcp.write import notice_line, result_line
from taskbound.wire.tool import ListUpstreams, ReachTools, ToolRows, UpstreamRows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.framing import Client
    from taskbound.surfaces.gateway.link import Link
    from taskbound.surfaces.gateway.subscriptions import Stream
    from taskbound.wire.mcp.message import Id
    from taskbound.wire.tool import ToolRow


_log = logging.getLogger(__name__)
_KINDS: Final = {"prompts": "prompts/get", "resources": "resources/read"}
"""What there can be lists of beside tools, with the method that it is asked for by."""
_DECLARED: Final[dict[str, JsonValue]] = {"listChanged": True}


class Listing:
    """The list of tools of one client."""

    def __init__(self, link: Link, client: Client) -> None:
        """Show nothing yet."""
        self._link = link
        self._client = client
        self._due: set[str] = set()
        self._shown: str | None = None
        self._failed = False
        self.streams: dict[Id, bytes] = {}
        """Open streams of a modern client, with their ids as written."""
        self._wanted: dict[Id, tuple[str, ...]] = {}
        """Of each, the lists whose changes it carries."""
        self._kinds: tuple[str, ...] = ("tools",)
        """The lists that the client was told there are."""

    async def capabilities(self) -> dict[str, JsonValue]:
        """What the client is told that it can ask for: tools, and what servers of the task have beside."""
        try:
            rows = await self._link.ask(ReachTools(), ToolRows)
        except TaskboundError as error:
            _log.warning("what there is beside tools is not known: %s", error.message)
            return {"tools": _DECLARED}
        methods = {parse_tool_name(row.name)[1] for row in rows.rows}
        beside = [kind for kind, method in _KINDS.items() if method in methods]
        self._kinds = ("tools", *beside)
        found: dict[str, JsonValue] = {kind: dict(_DECLARED) for kind in self._kinds}
        if "resources/subscribe" in methods:
            found["resources"] = {**_DECLARED, "subscribe": True}
        found |= {"completions": {}} if "completion/complete" in methods else {}
        return found | ({"logging": {}} if await self._any_logs(rows) else {})

    async def _any_logs(self, reached: ToolRows) -> bool:
        """Whether a server of the task is pinned as one that logs (rule 4)."""
        try:
            rows = await self._link.ask(ListUpstreams(), UpstreamRows)
        except TaskboundError as error:
            _log.warning("which servers log is not known: %s", error.message)
            return False
        names = {parse_tool_name(row.name)[0] for row in reached.rows}
        return any(row.spec.logs and row.spec.name in names for row in rows.rows)

    async def answer(self, *, modern: bool, tasks: bool = False) -> bytes:
        """The result of `tools/list`; `tasks` says that each call can be an MCP task (rule 5)."""
        try:
            rows = await self._link.ask(ReachTools(), ToolRows)
        except TaskboundError as error:
            self._failed = True
            return offered([], modern=modern, refusal=_refusal(code_of(error), error.message))
        self._failed = False
        self._shown = rows.task
        ordered = sorted(rows.rows, key=lambda row: row.name)
        listed = [row for row in ordered if not is_reserved(parse_tool_name(row.name)[1])]
        tools = [_shown(row, tasks=tasks) for row in listed]
        refusal = _refusal("no-tools", rows.refusal) if rows.refusal else None
        return offered([one for one in tools if crosses(one, modern=modern)], modern=modern, refusal=refusal)

    def bound(self, task: str) -> None:
        """Calls belong to this task; what was shown before may be another's."""
        if self._shown is not None and self._shown != task:
            self.changed()

    def joined(self) -> None:
        """The daemon is there; a list that was shown without it was empty."""
        if self._failed:
            self.changed()

    def changed(self, kind: str = "") -> None:
        """A list is another one, or all are; told once, however often this is called in a row."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._tell)
        self._due |= {kind} if kind else {"tools", *_KINDS}

    def _tell(self) -> None:
        due, self._due = self._due, set()
        for talk in [one for one in self._client.talks() if one.begun]:
            for kind in due.intersection(self._kinds):
                self._client.say(notice_line(_changed(kind)), talk)
        for request, raw in self.streams.items():
            for kind in due.intersection(self._wanted[request]):
                about = b'{"_meta":{"%b":%b}}' % (SUBSCRIPTION_KEY.encode(), raw)
                self._client.tell(notice_line(_changed(kind), about), request)

    def listen(self, stream: Stream, wanted: Mapping[str, JsonValue], uris: Sequence[str]) -> None:
        """Open a stream of changes, and say which of those asked for it carries; `capabilities` came before.

        Args:
            stream: The stream.
            wanted: What was asked for.
            uris: What of the URIs that were asked for is subscribed to.
        """
        kinds = tuple(kind for kind in self._kinds if wanted.get(_filter(kind)) is True)
        if kinds or uris:
            self.streams[stream.id] = stream.raw
            self._wanted = {one: self._wanted[one] for one in self._wanted if one in self.streams}
            self._wanted[stream.id] = kinds
        honored: dict[str, JsonValue] = {_filter(kind): True for kind in kinds}
        if uris:
            honored["resourceSubscriptions"] = [*uris]
        params = b'{"_meta":{"%b":%b},"notifications":%b}' % (
            SUBSCRIPTION_KEY.encode(),
            stream.raw,
            canonical(honored),
        )
        self._client.tell(notice_line("notifications/subscriptions/acknowledged", params), stream.id)

    def end(self, stream: Stream) -> None:
        """End a stream, as MCP has a server end one."""
        self.streams.pop(stream.id, None)
        result = b'{"_meta":{"%b":%b},"resultType":"complete"}' % (SUBSCRIPTION_KEY.encode(), stream.raw)
        self._client.answer(result_line(stream.raw, result), stream.id)


def _filter(kind: str) -> str:
    """The name of a list's changes among those that a stream can carry."""
    return f"{kind}ListChanged"


def _changed(kind: str) -> str:
    return f"notifications/{kind}/list_changed"


def _shown(row: ToolRow, *, tasks: bool) -> dict[str, Any]:
    """The pinned definition under its full name."""
    tool: dict[str, Any] = msgspec.json.decode(row.raw, type=dict[str, Any])
    tool["name"] = row.name
    if tasks:
        own = tool.get("execution")
        said = {"taskSupport": TaskSupport.OPTIONAL.value}
        tool["execution"] = own | said if isinstance(own, dict) else said  # 5
    return tool


def _refusal(code: str, reason: str) -> dict[str, JsonValue]:
    return {DECISION_KEY: {"code": code, "reason": reason}}
