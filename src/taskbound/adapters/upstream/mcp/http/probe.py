"""Looking at a server behind a URL before it is pinned: its era, its key, what it says of itself, its tools.

Nothing is called (design 6), and every connection is ended before this returns.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from msgspec import structs

from taskbound.adapters.upstream.mcp.digest import hash_file
from taskbound.adapters.upstream.mcp.errors import ServerLostError, StartFailedError
from taskbound.adapters.upstream.mcp.http.server import HttpStarter, offered
from taskbound.adapters.upstream.mcp.listing import list_tools
from taskbound.adapters.upstream.mcp.probe import Deaf, Probe, look_legacy, look_modern
from taskbound.adapters.upstream.mcp.server import Patience
from taskbound.core.tool import parse_definitions, parse_server_name
from taskbound.core.tool.remote import canonical_url
from taskbound.wire.mcp.era import is_modern
from taskbound.wire.tool import ServerSpec, identity_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from taskbound.adapters.upstream.mcp.handshake import Asking, Opened
    from taskbound.core.tool.remote import Remote

__all__ = ["pin_url", "probe", "probe_url"]

_REMEDY = "see that it runs, that the URL is its own, and that it wants no sign-in"
P = TypeVar("P", bound="Probe | None")


def pin_url(
    name: str, url: str, *, headers: Mapping[str, str], key: str = "", authorities: str = ""
) -> ServerSpec:
    """The spec of a server behind a URL; its era is not known yet.

    Args:
        name: What the server is called here.
        url: As a person types it.
        headers: Declared ones, by name.
        key: The SHA-256 of its public key, when only that one is to be believed.
        authorities: Absolute path of the file with those who certify it; without one they are the system's.

    Raises:
        MalformedError: It can't be pinned; the advice says what would.
    """
    parse_server_name(name)
    spec = ServerSpec(
        name=name,
        url=canonical_url(url),
        headers=tuple(sorted((one.lower(), value) for one, value in headers.items())),
        key=key.lower().replace(":", ""),
        files=((authorities, hash_file(authorities)),) if authorities else (),
    )
    identity_of(spec, namespace="default")
    return spec


async def probe(
    spec: ServerSpec, *, patience: Patience | None = None, start: HttpStarter | None = None
) -> Probe:
    """Reach the server, find out its era, and list its tools.

    Raises:
        DeniedError: Something pinned is different.
        UnavailableError: It is not reached, or does not answer, or list.
        MalformedError: One of its tools can't be pinned.
    """
    limits = patience or Patience()
    starter = start or HttpStarter(patience=limits)
    remote = identity_of(spec, namespace="default").remote
    if remote is None:
        raise StartFailedError("the server is pinned by a command, and not by a URL")

    async def show(session: Asking, opened: Opened) -> Probe:
        raws = await list_tools(session, opened.era, patience=limits.listing)
        kept, _, left_out = offered(raws) if is_modern(opened.era) else (raws, {}, ())
        parse_definitions(kept, server=spec.name)
        notes = tuple(f"a tool is left out: {words}" for words in left_out)
        if starter.key and not remote.key:
            notes += (f"its public key is {starter.key}; say `--key` with it to believe no other",)
        return Probe(
            era=opened.era,
            server=opened.server,
            definitions=kept,
            methods=opened.methods,
            logs=opened.logs,
            notes=notes,
        )

    try:
        found = await _with(remote, starter, limits, partial(look_modern, show=show, patience=limits))
        if found is None:
            found = await _with(remote, starter, limits, partial(look_legacy, show=show, patience=limits))
    except ServerLostError as error:
        raise StartFailedError(f"the server can't be looked at: {error.message}", remedy=_REMEDY) from error
    return found


def probe_url(
    *, name: str, url: str, headers: Mapping[str, str], key: str = "", authorities: str = ""
) -> tuple[ServerSpec, Probe]:
    """Pin a URL and look at its server, for plain code.

    Returns:
        The spec, with the era that the server showed, and what else it showed.

    Raises:
        MalformedError: As `pin_url`, or one of its tools can't be pinned.
        UnavailableError: As `probe`.
    """
    spec = pin_url(name, url, headers=headers, key=key, authorities=authorities)
    found = asyncio.run(probe(spec))
    return structs.replace(spec, era=found.era, logs=found.logs), found


async def _with(
    remote: Remote, starter: HttpStarter, patience: Patience, look: Callable[[Asking], Awaitable[P]]
) -> P:
    """What is seen in a session that is opened for this and ended after it."""
    session = starter.session(remote, Deaf())
    try:
        return await look(session)
    finally:
        await session.close(grace=patience.stop)
