"""Outcomes that the daemon has not recorded yet, and that this gateway owes it.

1. An outcome is owed when the daemon could not be told, or said that it could not record it. Its result
   was withheld then, and stays so: what is owed has no result with it.
2. It is told again when the daemon is there again, at each ping, and before the next call is decided:
   until then the act counts as running, and a repeat would be a new use. While something is owed,
   nothing new is asked for.
3. It is owed no longer once the daemon says that it stands, or that this gateway is not who may tell it.
4. That nothing was sent the daemon takes from nobody once a transaction token was issued for the action: then
   what came of it is unknown, and told so.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from taskbound.core.action import CredentialWrittenError, TokenIssuedError
from taskbound.core.errors import UnavailableError
from taskbound.wire.action import Outcome, Released, Withheld
from taskbound.wire.connection import Fault

if TYPE_CHECKING:
    from taskbound.surfaces.gateway.link import Link
    from taskbound.wire.envelope import Answer


_UNKNOWN: Final = "unknown"
_UNBELIEVED: Final = frozenset({CredentialWrittenError.code, TokenIssuedError.code})
"""With these it is not believed that nothing was sent."""
_NEVER: Final = frozenset({"bad-outcome"})
"""Faults that a second telling gets too."""


class OwingError(UnavailableError):
    """What came of an earlier call is not recorded yet, so nothing new is asked for."""

    code = "outcome-owed"
    remedy = "try again in a moment; if it stays so, look at the daemon's log and its disk"


def instead(ask: Outcome, said: Answer) -> Outcome | None:
    """What is told where the daemon will never take this (rule 4); None where it may, or has."""
    if not isinstance(said, Withheld) or said.code not in _UNBELIEVED or ask.outcome == _UNKNOWN:
        return None
    return Outcome(action=ask.action, outcome=_UNKNOWN, note=ask.note)


def recorded(said: Answer) -> bool:
    """Whether an outcome that was answered like this needs no second telling."""
    match said:
        case Released():
            return True
        case Withheld():
            return said.recorded
        case Fault():
            return said.code in _NEVER
        case _:
            return False


class Debts:
    """What one gateway owes its daemon."""

    def __init__(self, link: Link) -> None:
        """Owe nothing."""
        self._link = link
        self._owed: dict[str, Outcome] = {}
        self._paying = asyncio.Lock()

    def __len__(self) -> int:
        """How many outcomes are owed."""
        return len(self._owed)

    def __contains__(self, action: object) -> bool:
        """Whether the outcome of this action is owed."""
        return action in self._owed

    def owe(self, ask: Outcome) -> None:
        """Keep an outcome for later, without its result (rule 1)."""
        self._owed[ask.action] = Outcome(
            action=ask.action, outcome=ask.outcome, answer_sha256=ask.answer_sha256, note=ask.note
        )

    async def pay(self) -> None:
        """Tell what is owed, one after another.

        Raises:
            OwingError: The daemon can't record something now.
            DaemonLostError: It is not there.
        """
        async with self._paying:
            while self._owed:
                ask = next(iter(self._owed.values()))
                said = await self._link.ask_any(ask)
                if (other := instead(ask, said)) is not None:
                    self._owed[ask.action] = other  # 4
                    continue
                if not recorded(said):
                    raise OwingError(f"the outcome of `{ask.action}` could not be recorded yet: {_why(said)}")
                self._owed.pop(ask.action, None)  # 3


def _why(said: Answer) -> str:
    match said:
        case Withheld():
            return said.reason
        case Fault():
            return said.message
        case _:
            return "the daemon answered with something else"
