"""A server's whole list of tools or of what it has beside them, page by page, each object as it was sent.

1. At most 100 pages, 1,000 objects and 3 MiB of them (`core.tool`); beyond, nothing is listed.
2. A cursor that came before ends the listing with an error: the pages go round (A164).
3. The objects are cut out of the line, never written again.
4. A server that doesn't know the method has nothing of the kind, but for tools: those it has to list.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.adapters.upstream.mcp.errors import ListRefusedError
from taskbound.adapters.upstream.mcp.handshake import params_for
from taskbound.core.tool import MAX_DEFINITIONS, MAX_TOOLS
from taskbound.core.tool.name import shown
from taskbound.ports.upstream import Answered, Errored
from taskbound.wire.mcp.write import text

if TYPE_CHECKING:
    from taskbound.adapters.upstream.mcp.handshake import Asking


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


async def list_tools(session: Asking, era: str, *, patience: float) -> tuple[bytes, ...]:
    """Every tool object that the server lists now.

    Raises:
        ListRefusedError: The list is none, goes round, or is beyond rule 1.
        ServerLostError: The server ended, or does not answer in time.
    """
    return await _list(session, era, "tools/list", patience=patience)


async def list_entries(session: Asking, era: str, method: str, *, patience: float) -> tuple[bytes, ...]:
    """All that the server lists by this method, in so many seconds altogether; raises as `list_tools`."""
    try:
        async with asyncio.timeout(patience):
            return await _list(session, era, method, patience=patience)
    except TimeoutError as error:
        raise ListRefusedError(f"the server's answers to `{method}` take more than {patience:g} s") from error


async def _list(session: Asking, era: str, method: str, *, patience: float) -> tuple[bytes, ...]:
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
