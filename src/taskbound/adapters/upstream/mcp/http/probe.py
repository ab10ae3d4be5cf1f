"""Probes a server behind a URL before it is pinned: era, key, self-description, tools.

No tool is called (design 6), and every connection is closed before this returns. HTTP with SSE, recognized by
the statuses of MCP 2025-11-25 (Transports, Backwards Compatibility), is not supported.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import structs

from taskbound.adapters.upstream.mcp.digest import hash_file
from taskbound.adapters.upstream.mcp.errors import (
    NoStreamableHttpError,
    ServerLostError,
    StartFailedError,
)
from taskbound.adapters.upstream.mcp.http.oauth import LookToken, TokenEndpoint
from taskbound.adapters.upstream.mcp.http.server import HttpStarter, offered
from taskbound.adapters.upstream.mcp.probe import NullListener, Probe, look_guarded, look_legacy, look_modern
from taskbound.adapters.upstream.mcp.server import StepTimeouts, fill, list_tools
from taskbound.core.errors import TaskboundError
from taskbound.core.tool import parse_definitions, parse_server_name
from taskbound.core.tool.identity import canonical_url
from taskbound.core.tool.oauth.client import hidden_in
from taskbound.core.tool.slot import stand_ins
from taskbound.wire.mcp.message import is_modern
from taskbound.wire.tool import ServerSpec, identity_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from taskbound.adapters.upstream.mcp.handshake import Opened
    from taskbound.adapters.upstream.mcp.http.oauth import Sign
    from taskbound.adapters.upstream.mcp.server import SlotValues
    from taskbound.adapters.upstream.mcp.session import McpSession
    from taskbound.core.tool import Slot
    from taskbound.core.tool.identity import Remote
    from taskbound.wire.tool import OAuthSpec


_REMEDY = "see that it runs, that the URL is its own, and that it wants no sign-in"
P = TypeVar("P", bound="Probe | None")
_NOT_SPOKEN: Final = frozenset({400, 404, 405})
"""With one of these a server of HTTP with SSE refuses a POST to its URL."""


def pin_url(  # noqa: PLR0913 -- what a server is reached by, as a person types it
    name: str,
    url: str,
    *,
    headers: Mapping[str, str],
    key: str = "",
    authorities: str = "",
    slots: Iterable[Slot] = (),
    oauth: OAuthSpec | None = None,
) -> ServerSpec:
    """Returns the spec of a server behind a URL, without era; raises MalformedError if it can't be pinned.

    `key` is the only trusted public key's SHA-256; `authorities` an absolute path, by default the system's.
    """
    parse_server_name(name)
    spec = ServerSpec(
        name=name,
        url=canonical_url(url),
        headers=tuple(sorted((one.lower(), value) for one, value in headers.items())),
        key=key.lower().replace(":", ""),
        files=((authorities, hash_file(authorities)),) if authorities else (),
        slots=tuple(sorted(one.text for one in slots)),
        oauth=oauth,
    )
    identity_of(spec, namespace="default")
    return spec


async def probe(
    spec: ServerSpec,
    *,
    patience: StepTimeouts | None = None,
    start: HttpStarter | None = None,
    filling: SlotValues | None = None,
) -> Probe:
    """Connects to the server, detects its era and lists its tools."""
    limits = patience or StepTimeouts()
    starter = start or HttpStarter(patience=limits)
    remote = identity_of(spec, namespace="default").remote
    if remote is None:
        raise StartFailedError("the server is pinned by a command, and not by a URL")
    looking = _Looking(spec.name, remote, starter, limits)
    looking.filling = filling
    try:
        return await looking.seen()
    except ServerLostError as error:
        if looking.status in _NOT_SPOKEN:
            why = "as one does that speaks only HTTP with SSE (MCP 2024-11-05)"
            raise NoStreamableHttpError(f"{error.message} to streamable HTTP, {why}") from error
        raise StartFailedError(f"the server can't be looked at: {error.message}", remedy=_REMEDY) from error


def probe_url(  # noqa: PLR0913 -- what a server is reached by, as a person types it
    *,
    name: str,
    url: str,
    headers: Mapping[str, str],
    key: str = "",
    authorities: str = "",
    secrets: Mapping[Slot, str | None] | None = None,
    oauth: OAuthSpec | None = None,
    sign: Sign | None = None,
) -> tuple[ServerSpec, Probe]:
    """Pins a URL and probes its server (blocking); `secrets` as `mcp.probe.probe_command`.

    A server that needs a token is probed with a temporary one, revoked afterwards, or without one if the
    client's secret is missing. Returns the spec with its era, and what the server showed.
    """
    spec = pin_url(
        name, url, headers=headers, key=key, authorities=authorities, slots=secrets or (), oauth=oauth
    )
    filled = {slot: value for slot, value in (secrets or {}).items() if value is not None}
    given = filled | stand_ins(secrets or ())
    hidden = {part for slot, value in filled.items() for part in hidden_in(slot, value)}
    notes: list[str] = []
    with _token_for(spec, filled, sign, notes) as token:
        tokens = LookToken(token) if token else None
        found = look_guarded(
            {*hidden, *([token] if token else [])},
            lambda: asyncio.run(probe(spec, filling=fill(given, tokens))),
        )
    found = replace(found, notes=(*found.notes, *notes))
    return structs.replace(spec, era=found.era, logs=found.logs), found


@contextlib.contextmanager
def _token_for(
    spec: ServerSpec, filled: Mapping[Slot, str], sign: Sign | None, notes: list[str]
) -> Iterator[str]:
    client = identity_of(spec, namespace="default").oauth
    secret = filled.get(client.slot) if client is not None else None
    if client is None or secret is None:
        yield ""
        return
    issuer = TokenEndpoint(client, secret, sign or _signs_nothing)
    token = asyncio.run(issuer.ask())
    try:
        yield token.value
    finally:
        try:
            asyncio.run(issuer.revoke(token.value))
        except TaskboundError as error:
            notes.append(f"the token of this look lives on for up to {token.seconds} s: {error.message}")


def _signs_nothing(key: str, client: str, audience: str) -> str:
    del key, client, audience
    raise StartFailedError("this process can't sign for an OAuth client")


class _Looking:
    def __init__(self, name: str, remote: Remote, starter: HttpStarter, patience: StepTimeouts) -> None:
        self._name = name
        self._remote = remote
        self._starter = starter
        self._patience = patience
        self.filling: SlotValues | None = None
        """What is in the server's slots while it is looked at."""
        self.status = 0
        """The HTTP status of its last answer to a question that opens a session."""

    async def seen(self) -> Probe:
        found = await self._seen(partial(look_modern, show=self._shown, patience=self._patience))
        if found is not None:
            return found
        return await self._seen(partial(look_legacy, show=self._shown, patience=self._patience))

    async def _shown(self, session: McpSession, opened: Opened) -> Probe:
        raws = await list_tools(session, opened.era, patience=self._patience.listing)
        kept, _, left_out = offered(raws) if is_modern(opened.era) else (raws, {}, ())
        parse_definitions(kept, server=self._name)
        notes = tuple(f"a tool is left out: {words}" for words in left_out)
        if self._starter.key and not self._remote.key:
            notes += (f"its public key is {self._starter.key}; say `--key` with it to believe no other",)
        return Probe(
            era=opened.era,
            server=opened.server,
            definitions=kept,
            methods=opened.methods,
            logs=opened.logs,
            notes=notes,
        )

    async def _seen(self, look: Callable[[McpSession], Awaitable[P]]) -> P:
        session = self._starter.session(self._remote, NullListener(), filling=self.filling)
        try:
            return await look(session)
        finally:
            self.status = session.status
            await session.close(grace=self._patience.stop)
