"""What a server says of the progress of a call, on its way to the client that asked to be told.

1. A client is told under the token that it gave, on its call's own way. The server gets a token of ours: its
   request's number. Where the client gave none, the server gets none either, so that a reading has none.
2. It is told while the call is open at its server and nothing has interrupted it: nothing after the answer,
   and nothing after a cancel, a pause or the task's end, which withhold a result too (law 4). Without the
   daemon nobody can know of these, so that nothing is told as long as it is away.
3. It is `progress`, `total` and `message` and nothing else: finite numbers, of which the first does not fall
   and is not below zero, and a text of at most 1,000 characters. What is anything else is dropped whole.
4. At most 20 are told in a second and 1,000 of a call; the rest is dropped.
5. A client that was told that its call waits for people (`waiting`, rule 6) has seen numbers of this token
   already: the server's are counted on from there, so that they do not fall for the client.
6. Of a call that its client comes back for (`errands`), one of 2025-11-25 is told on, by what names the call;
   one of 2026-07-28 is not, as MCP says.
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
"""What is told of a call in one second."""
MAX_TOLD: Final = 1_000
"""What is told of a call in all."""
MAX_MESSAGE: Final = 1_000
"""Characters of a message."""
_MEMBERS: Final = frozenset({"_meta", "message", "progress", "progressToken", "total"})


def progress_of(
    call: Call, tell: Callable[[bytes, Call], None], connected: Callable[[], bool]
) -> Callable[[Mapping[str, JsonValue]], None] | None:
    """What hears of the call's progress; nothing when its client did not ask for that (rule 1)."""
    return Progress(call, tell, connected).heard if call.progress is not None else None


class Progress:
    """Tells a client of one call's progress; used in the loop."""

    def __init__(
        self, call: Call, tell: Callable[[bytes, Call], None], connected: Callable[[], bool]
    ) -> None:
        """Tell of this call.

        Args:
            call: The call, which is being sent.
            tell: Says a line of a call to its client.
            connected: Whether the daemon is there.
        """
        self._call = call
        self._tell = tell
        self._connected = connected
        self._least: int | float = 0
        self._pace = Pace(second=MAX_A_SECOND, most=MAX_TOLD)

    def heard(self, params: Mapping[str, JsonValue]) -> None:
        """The parameters of one notification of the server for this call; never raises."""
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
