"""A server's whole list of tools, page by page, within bounds, each tool object as it was sent.

1. At most 100 pages, 1,000 tools and 3 MiB of them (`core.tool`); beyond, nothing is listed.
2. A cursor that came before ends the listing with an error: the pages go round (A164).
3. The tool objects are cut out of the line, never written again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.adapters.upstream.mcp.errors import ListRefusedError
from taskbound.adapters.upstream.mcp.handshake import params_for
from taskbound.core.tool import MAX_DEFINITIONS, MAX_TOOLS
from taskbound.core.tool.name import shown
from taskbound.ports.upstream import Answered
from taskbound.wire.mcp.write import text

if TYPE_CHECKING:
    from taskbound.adapters.upstream.mcp.handshake import Asking

__all__ = ["list_tools"]

_MAX_PAGES: Final = 100
_MAX_CURSOR: Final = 4096


class _Page(msgspec.Struct):
    tools: list[msgspec.Raw] = []
    nextCursor: str | None = None  # noqa: N815 -- MCP's own name


_page: Final = msgspec.json.Decoder(_Page)


async def list_tools(session: Asking, era: str, *, patience: float) -> tuple[bytes, ...]:
    """Every tool object that the server lists now.

    Raises:
        ListRefusedError: The list is none, goes round, or is beyond rule 1.
        ServerLostError: The server ended, or does not answer in time.
    """
    found: list[bytes] = []
    size = 0
    seen: set[str] = set()
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        members = b'"cursor":%b' % text(cursor) if cursor is not None else b""
        page = _read(await session.ask("tools/list", params_for(era, members), patience=patience))
        found += map(bytes, page.tools)
        size += sum(map(len, page.tools))
        if len(found) > MAX_TOOLS or size > MAX_DEFINITIONS:
            raise ListRefusedError(f"the server lists more than {MAX_TOOLS} tools or {MAX_DEFINITIONS} bytes")
        cursor = page.nextCursor
        if cursor is None:
            return tuple(found)
        if cursor in seen or len(cursor) > _MAX_CURSOR:
            raise ListRefusedError("the pages of the server's list go round")  # 2
        seen.add(cursor)
    raise ListRefusedError(f"the server's list has more than {_MAX_PAGES} pages")


def _read(answer: object) -> _Page:
    if not isinstance(answer, Answered):
        message = getattr(answer, "message", "")
        raise ListRefusedError(f"the server refuses to list its tools: {shown(message)}")
    if not isinstance(answer.value.get("tools"), list):
        raise ListRefusedError("the server's list of tools is none")
    try:
        return _page.decode(answer.raw)  # 3
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ListRefusedError("the server's list of tools can't be read") from error
