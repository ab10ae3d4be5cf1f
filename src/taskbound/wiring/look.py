"""Inspects a pinned server as a gateway would start or connect to it, and lists what it offers.

1. Pinned values, including the MCP revision, are compared before any of its code runs.
2. None of its tools is called and none of its resources is read.
3. The egress starts a server with secrets; it asks the daemon whether the caller is a person.
4. The server, and its child processes in the same session, end before this returns.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from taskbound.adapters.upstream.mcp.probe import NullListener
from taskbound.surfaces.cli.plugs import ServerInspection
from taskbound.wire.tool import identity_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from taskbound.adapters.upstream.mcp.http.server import HttpStarter
    from taskbound.core.tool import ServerIdentity
    from taskbound.ports.upstream import StartUpstream
    from taskbound.wire.tool import ServerSpec


_LISTS: Final[Mapping[str, tuple[str, ...]]] = {
    "prompts/get": ("prompts/list",),
    "resources/read": ("resources/list", "resources/templates/list"),
}
"""What a server is asked for that says it has such a thing."""


def look_at(spec: ServerSpec, namespace: str, egress: Path) -> ServerInspection:
    """Returns what a pinned server offers now (blocking); raises DeniedError or UnavailableError."""
    return asyncio.run(_look_at(spec, identity_of(spec, namespace=namespace), egress))


async def _look_at(spec: ServerSpec, identity: ServerIdentity, egress: Path) -> ServerInspection:
    start, reached = _starter(identity, egress)
    begun = time.monotonic()
    server = await start(identity, era=spec.era, events=NullListener(), name=spec.name)
    answered = time.monotonic()
    try:
        definitions = await server.list_tools()
        lists = [one for method in server.methods for one in _LISTS.get(method, ())]
        entries = {one: len(await server.list_entries(one)) for one in lists}
    finally:
        await server.close()  # 4
    return ServerInspection(
        identity=identity.digest,
        definitions=definitions,
        methods=server.methods,
        entries=entries,
        answered=answered - begun,
        listed=time.monotonic() - begun,
        key=reached.key if reached is not None else "",
    )


def _starter(identity: ServerIdentity, egress: Path) -> tuple[StartUpstream, HttpStarter | None]:
    if identity.slots:
        from taskbound.adapters.upstream.egress import EgressStarter  # noqa: PLC0415 -- what is needed

        return EgressStarter(egress), None  # 3
    if identity.remote is None:
        from taskbound.adapters.upstream.mcp.server import StdioStarter  # noqa: PLC0415 -- what is needed

        return StdioStarter(), None
    from taskbound.adapters.upstream.mcp.http.server import HttpStarter  # noqa: PLC0415 -- what is needed

    reached = HttpStarter()
    return reached, reached
