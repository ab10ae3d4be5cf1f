"""What servers log, on its way to the clients that asked to hear it.

1. A client says from which level on: a legacy one for all that it does (`logging/setLevel`), a modern one
   with each request. Who has not said so hears nothing.
2. What is logged of a call reaches whoever made it, on the call's own way, while the call is open at its
   server, nothing has interrupted it, and the daemon is there (`progress`, rule 2: law 4).
3. It is a level of MCP's list, data of any kind, and at most the name of a logger; before that name stands
   the server's, so that nobody takes it for ours. As canonical text it has at most 8 KiB, in one line for
   every reader. What is anything else is dropped whole.
4. At most 20 are told in a second and 1,000 of a call; the rest is dropped.
5. A legacy server is asked to log from the least level that anybody wants by now, before a call that wants
   it is sent; a modern one is told with the call. What a server logs beyond that is dropped here.
6. What is logged outside of calls, or nobody can say in which, reaches the client of a pipe, which is the
   only one there: from the level that it set, or that an open call of it at this server asked for. It does so
   from the first call that was sent, until anything comes between: a pause, an end, a stop, a daemon that was
   away. Over HTTP it has nowhere to go.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.ports.upstream import Logged
from taskbound.surfaces.gateway.pace import Pace
from taskbound.wire.mcp.era import is_modern
from taskbound.wire.mcp.errors import BadParamsError
from taskbound.wire.mcp.level import LEVELS, SILENT, least, reaches
from taskbound.wire.mcp.write import notice_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.binding import Running
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.framing import Client
    from taskbound.surfaces.gateway.talk import Talk


_log = logging.getLogger(__name__)

MAX_A_SECOND: Final = 20
"""What is told of a call in one second."""
MAX_TOLD: Final = 1_000
"""What is told of a call in all."""
MAX_OUTSIDE: Final = 10_000
"""What is told outside of calls in all."""
MAX_LOG: Final = 8_192
"""Bytes of what is told of one message."""
_MAX_NAME: Final = 200
_MEMBERS: Final = frozenset({"_meta", "data", "level", "logger"})
_LINE_ENDS: Final = tuple((odd.encode(), b"\\u%04x" % ord(odd)) for odd in "\x85\u2028\u2029")


class Logs:
    """What is logged at one connection; used in the loop."""

    def __init__(
        self,
        client: Client,
        *,
        tell: Callable[[bytes, Call], None],
        connected: Callable[[], bool],
        calls: Callable[[], Iterable[Call]],
    ) -> None:
        """Tell this client.

        Args:
            client: The client, or the many that share a task.
            tell: Says a line of a call to its client.
            connected: Whether the daemon is there.
            calls: Every open call.
        """
        self._client = client
        self._tell = tell
        self._connected = connected
        self._calls = calls
        self._pace = Pace(second=MAX_A_SECOND, most=MAX_OUTSIDE)
        self._flows = False
        """Whether a call was sent, and nothing came between since (rule 6)."""

    def of(self, call: Call) -> Logged:
        """Who hears what the server of this call, which is being sent, logs of it (rules 2 to 4)."""
        self._flows = True
        pace = Pace(second=MAX_A_SECOND, most=MAX_TOLD)

        def heard(params: Mapping[str, JsonValue]) -> None:
            waiting = call.waiting
            if call.cause is not None or waiting is None or waiting.done() or not self._connected():
                return  # 2
            if not call.is_heard:
                return  # its client is asked something, and waits for nothing meanwhile
            said = _said(params, call.server, _level_of(call))
            if said and pace.allows():
                if call.errand is not None:
                    said = b'{"_meta":%b,%b' % (canonical(call.errand.related), said[1:])
                self._tell(notice_line("notifications/message", said), call)

        return Logged(_level_of(call), heard)

    def outside(self, server: Running, params: Mapping[str, JsonValue]) -> None:
        """A server logs, and nobody knows of which call (rule 6)."""
        if not (self._flows and self._connected()):
            return
        asked = [_level_of(one) for one in self._calls() if one.running is server and one.cause is None]
        talks = self._client.talks()
        said = _said(params, server.spec.name, least([*asked, *(one.level for one in talks)]))
        if said and self._pace.allows():
            self._client.tell(notice_line("notifications/message", said), None)

    def halt(self) -> None:
        """Something came between: nothing is told outside of calls before one is sent again (rule 6)."""
        self._flows = False

    @property
    def wanted(self) -> str:
        """The least level that anybody wants to hear of now (rule 5)."""
        talks = (one.level for one in self._client.talks())
        return least([*talks, *map(_level_of, self._calls())])

    async def settle(self, server: Running) -> None:
        """Have a legacy server log what is wanted; one that does not is called all the same (rule 5)."""
        level, upstream = self.wanted, server.upstream
        if (
            level in {SILENT, server.level}
            or upstream is None
            or not upstream.logs
            or is_modern(upstream.era)
        ):
            return
        server.level = level
        try:
            await upstream.log_from(level)
        except TaskboundError as error:
            _log.info("server %s: %s", server.spec.name, error.message)

    async def set(self, talk: Talk, level: str, servers: Iterable[Running]) -> None:
        """A legacy client wants to hear from this level on: servers that run already are asked at once."""
        talk.level = level
        await asyncio.gather(*(self.settle(one) for one in servers))


def _level_of(call: Call) -> str:
    """The level from which on the client of a call wants to hear of it (rule 1)."""
    return call.talk.level if call.talk is not None else call.level


def read_level(params: Mapping[str, JsonValue]) -> str:
    """The level in the parameters of `logging/setLevel`.

    Raises:
        BadParamsError: They are not those of it.
    """
    level = params.get("level")
    if not params.keys() <= {"_meta", "level"}:
        raise BadParamsError("`logging/setLevel` takes `level`, and nothing else")
    if not isinstance(level, str) or level not in LEVELS:
        raise BadParamsError(f"`level` is one of {', '.join(LEVELS)}")
    return level


def _said(params: Mapping[str, JsonValue], server: str, floor: str) -> bytes:
    """What a client is told of this message; empty when that is nothing (rule 3)."""
    level, name = params.get("level"), params.get("logger", "")
    if not (isinstance(level, str) and reaches(level, floor) and isinstance(name, str)):
        return b""
    if not params.keys() <= _MEMBERS or "data" not in params or len(name) > _MAX_NAME:
        return b""
    logger = f"{server}/{name}" if name else server
    try:
        said = canonical({"data": params["data"], "level": level, "logger": logger})
    except MalformedError:
        return b""
    for odd, escaped in _LINE_ENDS:
        said = said.replace(odd, escaped)
    return said if len(said) <= MAX_LOG else b""
