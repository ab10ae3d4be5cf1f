"""Progress notifications of servers on their way to the client.

1. The client is notified under its own token; the server gets the gateway's, the request's number. Without a
   client token the server gets none.
2. Notifications pass only while the call is open at its server and uninterrupted, and the daemon is
   connected: nothing after the answer, a cancel, a pause or the task's end (law 4).
3. Only `progress`, `total` and `message` pass: finite numbers, the first non-negative and never falling, and
   at most 1,000 characters. Anything else is dropped.
4. At most 20 notifications a second and 1,000 per call pass.
5. For a call that was held (`waiting`, rule 6) the server's numbers continue after those already sent.
6. For a polled call (`errands`), a client of 2025-11-25 is notified with the call's name; one of 2026-07-28
   is not, as MCP requires.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeGuard

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import MalformedError
from taskbound.surfaces.gateway.framing import Pace
from taskbound.wire.mcp.message import notice_line, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.call import Call


MAX_A_SECOND: Final = 20
"""Notifications per call and second."""
MAX_TOLD: Final = 1_000
"""Notifications per call."""
MAX_MESSAGE: Final = 1_000
"""Characters of a message."""
_MEMBERS: Final = frozenset({"_meta", "message", "progress", "progressToken", "total"})


def progress_of(
    call: Call, tell: Callable[[bytes, Call], None], connected: Callable[[], bool]
) -> Callable[[Mapping[str, JsonValue]], None] | None:
    """Returns the receiver of the call's progress, or None if its client did not ask for it (rule 1)."""
    return Progress(call, tell, connected).heard if call.progress is not None else None


class Progress:
    """Forwards one call's progress; used in the event loop."""

    def __init__(
        self, call: Call, tell: Callable[[bytes, Call], None], connected: Callable[[], bool]
    ) -> None:
        self._call = call
        self._tell = tell
        self._connected = connected
        self._least: int | float = 0
        self._pace = Pace(second=MAX_A_SECOND, most=MAX_TOLD)

    def heard(self, params: Mapping[str, JsonValue]) -> None:
        """Takes the parameters of one notification from the server; never raises."""
        call = self._call
        waiting = call.waiting
        if call.cause is not None or waiting is None or waiting.done() or not self._connected():
            return  # 2
        if not call.is_heard or call.progress is None:
            return  # its client is asked something and away, or has come back without a token
        progress, total, words = params.get("progress"), params.get("total", 0), params.get("message", "")
        if not (_is_number(progress) and _is_number(total) and isinstance(words, str)):
            return  # 3
        if not params.keys() <= _MEMBERS or len(words) > MAX_MESSAGE or progress < self._least:
            return  # 3
        said: dict[str, JsonValue] = {"progress": progress + call.turns, "progressToken": call.progress}  # 5
        if "total" in params:
            said["total"] = total + call.turns
        try:
            written = canonical(said)
        except MalformedError:
            return  # 3: it has no text that is read alike by everyone
        self._least = progress
        if not self._pace.allows():
            return  # 4
        if "message" in params:
            written = b'{"message":%b,%b' % (text(words), written[1:])
        if call.errand is not None:
            written = b'{"_meta":%b,%b' % (canonical(call.errand.related), written[1:])  # 6
        self._tell(notice_line("notifications/progress", written), call)


def _is_number(value: JsonValue) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
