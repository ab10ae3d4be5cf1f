"""What tools the client is shown, and how it learns that they are others now.

1. Only tools that the task can reach, as they were pinned, under their full names
   (`server__tool`). What is shown gives no right: every call is decided.
2. The list is the client's alone (`cacheScope: private`) and never to be kept (`ttlMs: 0`):
   it is another one when the task is.
3. A legacy client is told of changes once it is initialized; a modern one when it has
   opened `subscriptions/listen` for them (MCP 2026-07-28, Subscriptions).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from taskbound.core.errors import TaskboundError
from taskbound.surfaces.gateway.eras import crosses, offered
from taskbound.surfaces.gateway.errors import BusyError, code_of
from taskbound.wire.mcp.era import DECISION_KEY, SUBSCRIPTION_KEY
from taskbound.wire.mcp.errors import BadParamsError
from taskbound.wire.mcp.write import notice_line
from taskbound.wire.tool import ReachTools, ToolRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.framing import Client
    from taskbound.surfaces.gateway.link import Link
    from taskbound.wire.mcp.message import Id
    from taskbound.wire.tool import ToolRow

__all__ = ["Listing"]

_MOST_STREAMS: Final = 8
_CHANGED: Final = "notifications/tools/list_changed"


class Listing:
    """The list of tools of one client."""

    def __init__(self, link: Link, client: Client) -> None:
        """Show nothing yet."""
        self._link = link
        self._client = client
        self._due = False
        self._shown: str | None = None
        self._failed = False
        self.legacy = False
        """Whether a legacy client is initialized, and may be told of changes."""
        self.streams: dict[Id, bytes] = {}
        """Open streams of a modern client, with their ids as written."""

    async def answer(self, *, modern: bool) -> bytes:
        """The result of `tools/list`."""
        try:
            rows = await self._link.ask(ReachTools(), ToolRows)
        except TaskboundError as error:
            self._failed = True
            return offered([], modern=modern, refusal=_refusal(code_of(error), error.message))
        self._failed = False
        self._shown = rows.task
        tools = [_shown(row) for row in sorted(rows.rows, key=lambda row: row.name)]
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

    def changed(self) -> None:
        """The list is another one; the client is told once, however often this is called in a row."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._due = False
        if self.legacy:
            self._client.tell(notice_line(_CHANGED), None)
        for request, raw in self.streams.items():
            line = notice_line(_CHANGED, b'{"_meta":{"%b":%b}}' % (SUBSCRIPTION_KEY.encode(), raw))
            self._client.tell(line, request)

    def listen(self, request: Id, raw: bytes, params: Mapping[str, JsonValue]) -> None:
        """Open a stream of changes, and say which of those asked for it carries.

        Raises:
            BadParamsError: The filter is none.
            BusyError: So many are open that another one is not opened.
        """
        wanted = params.get("notifications")
        if not isinstance(wanted, dict):
            raise BadParamsError("`notifications` is no object")
        if len(self.streams) >= _MOST_STREAMS:
            raise BusyError(f"{_MOST_STREAMS} streams of changes are open already")
        honored = b'{"toolsListChanged":true}' if wanted.get("toolsListChanged") is True else b"{}"
        if honored != b"{}":
            self.streams[request] = raw
        params_raw = b'{"_meta":{"%b":%b},"notifications":%b}' % (SUBSCRIPTION_KEY.encode(), raw, honored)
        self._client.tell(notice_line("notifications/subscriptions/acknowledged", params_raw), request)


def _shown(row: ToolRow) -> dict[str, Any]:
    """The pinned definition under its full name."""
    tool: dict[str, Any] = msgspec.json.decode(row.raw, type=dict[str, Any])
    tool["name"] = row.name
    return tool


def _refusal(code: str, reason: str) -> dict[str, JsonValue]:
    return {DECISION_KEY: {"code": code, "reason": reason}}
