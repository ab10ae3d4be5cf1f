"""A server behind a URL as the gateway uses it, and its starter.

1. A call carries name, canonical arguments, `_meta` built here, and in the modern era the headers of the
   tool's schema and the answers that the server requested. Nothing else comes from the client's request.
2. A modern tool with unsupported header declarations is not listed.
3. Starting ends with a ready server, or with an error and no connection.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from taskbound.adapters.upstream.mcp.errors import EraChangedError, StartFailedError
from taskbound.adapters.upstream.mcp.handshake import open_session
from taskbound.adapters.upstream.mcp.http.connect import Dialer, look_up
from taskbound.adapters.upstream.mcp.http.hearing import Resubscription
from taskbound.adapters.upstream.mcp.http.session import HttpSession
from taskbound.adapters.upstream.mcp.http.waits import Waits
from taskbound.adapters.upstream.mcp.news import listen
from taskbound.adapters.upstream.mcp.server import McpServer, SlotValues, StepTimeouts
from taskbound.core.errors import UnavailableError
from taskbound.core.tool import BadMirrorError
from taskbound.core.tool.definition import Mirror, encoded, mirrored, parse_mirrors
from taskbound.core.tool.name import METHOD_NAMES, shown
from taskbound.wire.mcp.message import is_modern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.adapters.upstream.mcp.handshake import Opened
    from taskbound.adapters.upstream.mcp.http.connect import LookUp
    from taskbound.adapters.upstream.mcp.session import Headers
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool import ServerIdentity
    from taskbound.core.tool.identity import Remote
    from taskbound.ports.upstream import UpstreamAnswer, UpstreamEvents


_log = logging.getLogger(__name__)
_ABOUT = {"prompts/get": "name", "resources/read": "uri"}
"""Which argument of a method stands in `Mcp-Name`."""
_REMEDY = "see that it runs, that it answers at this URL, and that what it is shown of a secret is right"
_CONNECT = 10.0
"""Seconds for one connection, from the look-up of its name to the end of TLS."""


class HttpServer(McpServer):
    """One server behind a URL."""

    _session: HttpSession

    def __init__(
        self, session: HttpSession, opened: Opened, patience: StepTimeouts, events: UpstreamEvents
    ) -> None:
        super().__init__(session, opened, patience)
        self._mirrors: dict[str, tuple[Mirror, ...]] = {}
        self._again = None if is_modern(opened.era) else Resubscription(session, events)

    async def list_tools(self) -> tuple[bytes, ...]:
        """Lists the callable tools, each exactly as received (rule 2)."""
        raws = await super().list_tools()
        if not is_modern(self.era):
            return raws
        kept, self._mirrors, left_out = offered(raws)
        for words in left_out:
            _log.warning("a tool is left out: %s", words)
        return kept

    async def log_from(self, level: str) -> None:
        await super().log_from(level)
        if self.logs and self._again is not None:
            self._again.logs_from(level)

    async def unsubscribe(self, uri: str) -> None:
        if self._again is not None:
            self._again.leave(uri)
        await super().unsubscribe(uri)

    def _headers(self, tool: str, arguments: bytes) -> Headers:
        if not is_modern(self.era):
            return ()
        mirrors = self._mirrors.get(tool, ())
        more = mirrored(mirrors, msgspec.json.decode(arguments)) if mirrors else ()
        return (*_named(tool, arguments), *more)

    def _subscribing(
        self, arguments: bytes, answer: Callable[[UpstreamAnswer], None]
    ) -> Callable[[UpstreamAnswer], None]:
        if self._again is None:
            return answer
        return self._again.subscribes(msgspec.json.decode(arguments, type=dict[str, str])["uri"], answer)


class HttpStarter:
    """Connects to servers as pinned (`ports.upstream.StartUpstream`)."""

    def __init__(
        self, *, patience: StepTimeouts | None = None, waits: Waits | None = None, look: LookUp = look_up
    ) -> None:
        self._patience = patience or StepTimeouts()
        self._waits = waits or Waits()
        self._look = look
        self._dialer: Dialer | None = None

    @property
    def key(self) -> str:
        """The public key's hash of the server connected last; '' without TLS."""
        return self._dialer.key if self._dialer is not None else ""

    def session(
        self,
        remote: Remote,
        events: UpstreamEvents,
        *,
        filling: SlotValues | None = None,
        offers: bytes = b"{}",
    ) -> HttpSession:
        """Returns an unused session; raises ServerChangedError if the pinned authorities changed."""
        self._dialer = Dialer(remote, patience=min(_CONNECT, self._patience.start), look=self._look)
        return HttpSession(remote, self._dialer, events, self._waits, filling or SlotValues(), offers=offers)

    async def __call__(  # noqa: PLR0913 - the shape of the port, and what fills slots
        self,
        identity: ServerIdentity,
        *,
        era: str,
        events: UpstreamEvents,
        name: str = "",
        filling: SlotValues | None = None,
        offers: bytes = b"{}",
        task: str = "",
    ) -> HttpServer:
        """Returns the server in its pinned era, ready for calls."""
        del name, task
        remote = identity.remote
        if remote is None or remote.era != era:
            raise EraChangedError("the server is pinned by a URL and a revision, and this is another")
        told = b"{}" if is_modern(era) else offers
        session = self.session(remote, events, filling=filling, offers=told)
        try:
            opened = await open_session(session, era, patience=self._patience.start, offers=offers)
        except UnavailableError as error:
            await session.close(grace=self._patience.stop)
            raise StartFailedError(f"the server is not ready: {error.message}", remedy=_REMEDY) from error
        except BaseException:  # denied or cancelled (rule 3)
            await session.close(grace=self._patience.stop)
            raise
        if not is_modern(era):
            session.listen()
        session.listening = listen(session, events, opened)
        return HttpServer(session, opened, self._patience, events)


def _named(tool: str, arguments: bytes) -> Headers:
    if tool not in METHOD_NAMES:
        return (("Mcp-Name", encoded(tool)),)
    about = _ABOUT.get(tool)
    if about is None:
        return ()
    return (("Mcp-Name", encoded(msgspec.json.decode(arguments, type=dict[str, Any])[about])),)


def offered(
    raws: Iterable[bytes],
) -> tuple[tuple[bytes, ...], dict[str, tuple[Mirror, ...]], tuple[str, ...]]:
    """Returns a modern list's callable tools, their headers, and why others are left out (rule 2)."""
    kept: list[bytes] = []
    mirrors: dict[str, tuple[Mirror, ...]] = {}
    left_out: list[str] = []
    for raw in raws:
        tool: JsonValue = msgspec.json.decode(raw)
        known = tool if isinstance(tool, dict) else {}
        name = known.get("name")
        try:
            found = parse_mirrors(known.get("inputSchema"))
        except BadMirrorError as error:
            left_out.append(f"`{shown(str(name))}`: {error.message}")
            continue
        kept.append(raw)
        if found and isinstance(name, str):
            mirrors[name] = found
    return tuple(kept), mirrors, tuple(left_out)
