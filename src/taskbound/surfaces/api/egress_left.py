"""Tokens that an egress has, so that it can be said of them when it is gone: whoever is killed says nothing.

1. Who has one is the process that told of it, by the kernel's word. It is gone when it has no connection any
   more and another egress has one.
2. What it had is recorded as `left` (`egress-lost`): nobody has its value any more, and nobody can give it
   back. It lives on until then, or was given back without a word.
3. This is what one daemon was told since it began. What was told before is in the log, as all of it is.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from msgspec import structs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from taskbound.surfaces.api.connection import Connection
    from taskbound.wire.egress import TellToken

    Process = tuple[int, int]
    """Its id, and when it started."""


_SECOND: Final = 1_000_000
_NOBODY: Final = (0, 0)
_MOST: Final = 4_096
"""Tokens that are remembered."""


def teller_of(connection: Connection) -> Process:
    """The process at the other end."""
    return connection.peer.proof.pid, connection.peer.proof.started


class EgressTokens:
    """Tokens that have no end yet; used in the loop."""

    def __init__(self) -> None:
        """Know of none."""
        self._had: dict[tuple[str, str], tuple[Process, TellToken, int]] = {}
        """By namespace and name: who has it, what was told of it last, and when its life is over."""

    def note(self, namespace: str, process: Process, told: TellToken, now: int) -> None:
        """This was told, and is recorded."""
        key = (namespace, told.token)
        before = self._had.pop(key, (process, told, 0))
        if told.state in {"asked", "given", "unconfirmed"}:
            while len(self._had) >= _MOST:
                del self._had[next(iter(self._had))]
            until = now + told.seconds * _SECOND if told.seconds else before[2]
            self._had[key] = (process, told, until)

    def left(self, namespace: str, present: Iterable[Connection], now: int) -> list[TellToken]:
        """What is to be recorded of those whose process is gone (rules 1 and 2); each once."""
        there = {teller_of(one) for one in present}
        gone = [
            key for key, (process, *_) in self._had.items() if key[0] == namespace and process not in there
        ]
        found = []
        for _, told, until in [self._had.pop(key) for key in gone]:
            rest = max((until - now) // _SECOND, 0)
            found.append(structs.replace(told, state="left", why="egress-lost", seconds=rest, holder=None))
        return found

    async def bury(
        self,
        namespace: str,
        present: Iterable[Connection],
        now: Callable[[], int],
        record: Callable[[TellToken], Awaitable[None]],
    ) -> None:
        """Record what is to be said of those whose process is gone; raises as `record`.

        What is not recorded, whatever was in the way, is to be at the next opportunity.
        """
        rest = deque(self.left(namespace, present, now()))
        try:
            while rest:
                await record(rest[0])
                rest.popleft()
        finally:
            for one in rest:
                self.note(namespace, _NOBODY, structs.replace(one, state="given"), now())
