"""What tokens are not asked for, not sent and not shared for; one of each for the process.

1. A client that its authorization server has refused is not tried again for `PATIENCE` seconds, whoever asks:
   no agent can have an account locked.
2. When a server does not take a token that was asked for after the last one that it did not take, within
   `PATIENCE` seconds, nothing more is sent to it with tokens of those tasks for so long. Who starts it anew
   meanwhile does not change that; tasks of others are not held up by it.
3. For the tasks of one process no more than `MOST_ASKED` tokens are asked for in `PATIENCE` seconds: who
   starts a server again and again floods no issuer.
4. A token is one server's of one connection. When an issuer gives one that it had given before, it is not
   used: two tasks would have it, and end each other's.
5. Every token of a server that lives may not be said by it, to whichever task: it has seen them all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.tool.oauth.errors import BadTokenError, TokenUnavailableError
from taskbound.surfaces.egress.errors import TokenNotTakenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.errors import DeniedError

    Hear = Callable[[tuple[str, ...]], None]
    """Hears the tokens of a server that live, the last ones."""


PATIENCE: Final = 30.0
MOST_ASKED: Final = 64
_KEPT: Final = 1_024
"""Clients, and places, that are remembered."""
_LIVE: Final = 4_096
"""Tokens that are remembered."""
_LOOKED_FOR: Final = 64
"""Tokens of one server, the last ones, that are looked for in what it says."""
_NEVER: Final = float("-inf")


@dataclass(slots=True)
class _Place:
    """What is known of a server with the tokens of some tasks."""

    untaken: float = _NEVER
    """When a token was not taken last."""
    rest: float = _NEVER
    """Until when nothing is sent."""
    asked: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_ASKED))
    """When the last tokens were asked for."""


class Refusals:
    """Clients that were refused lately, and servers that take no token or too many (rules 1 to 3)."""

    def __init__(self) -> None:
        """Know of none."""
        self._until: dict[str, tuple[float, DeniedError]] = {}
        self._places: dict[str, _Place] = {}

    def note(self, client: str, error: DeniedError) -> None:
        """This client was refused just now."""
        self._until.pop(client, None)
        while len(self._until) >= _KEPT:
            del self._until[next(iter(self._until))]
        self._until[client] = (_now() + PATIENCE, error)

    def note_untaken(self, place: str, began: float) -> None:
        """A token that was asked for then was not taken just now (rule 2)."""
        one, now = self._place(place), _now()
        if began > one.untaken and now - one.untaken < PATIENCE:
            one.rest = now + PATIENCE
        one.untaken = now

    def require_taken(self, place: str) -> None:
        """Go on only with a server that is not left alone.

        Raises:
            TokenNotTakenError: It is (rule 2).
        """
        one = self._places.get(place)
        if one is not None and _now() < one.rest:
            raise TokenNotTakenError("the server does not take the tokens that its issuer gives")

    def require_none(self, client: str, place: str) -> None:
        """Go on only with a client that may be asked for now; it counts as asked for.

        Raises:
            DeniedError: It was refused, and with this.
            TokenUnavailableError: So many were asked for (rule 3).
        """
        until, error = self._until.get(client, (0.0, None))
        one, now = self._place(place), _now()
        if error is not None and now < until:
            raise type(error)(error.message, remedy=error.advice)
        if len(one.asked) == MOST_ASKED and now - one.asked[0] < PATIENCE:
            words = f"{MOST_ASKED} tokens were asked for in {PATIENCE:g} s"
            raise TokenUnavailableError(words, remedy="try again later; see what starts the server so often")
        one.asked.append(now)

    def _place(self, name: str) -> _Place:
        found = self._places.pop(name, None) or _Place()
        while len(self._places) >= _KEPT:
            del self._places[next(iter(self._places))]
        self._places[name] = found
        return found


class Known:
    """Tokens that live, also of those that are given back (rules 4 and 5)."""

    def __init__(self) -> None:
        """Know of none."""
        self._live: dict[str, tuple[str, float]] = {}
        self._ears: dict[str, list[Hear]] = {}

    def add(self, server: str, token: str, over: float) -> None:
        """This one was given, and lives until then.

        Raises:
            BadTokenError: It was given before.
        """
        now = _now()
        self._live = {one: found for one, found in self._live.items() if found[1] > now}
        if token in self._live:
            raise BadTokenError(
                "the authorization server gave a token that it had given before",
                remedy="have it give each request a token of its own: one task's end would end another's",
            )  # 4
        while len(self._live) >= _LIVE:
            del self._live[next(iter(self._live))]
        self._live[token] = (server, over)
        last = self._last(server)
        for ear in self._ears.get(server, ()):
            ear(last)

    def hear(self, server: str, ear: Hear) -> None:
        """Have this hear of the server's tokens that live, now and whenever there is another (rule 5)."""
        self._ears.setdefault(server, []).append(ear)
        ear(self._last(server))

    def leave(self, server: str, ear: Hear) -> None:
        """Have it hear no more."""
        ears = [one for one in self._ears.pop(server, []) if one != ear]
        if ears:
            self._ears[server] = ears

    def _last(self, server: str) -> tuple[str, ...]:
        found = [one for one, (whose, _) in self._live.items() if whose == server]
        return tuple(found[-_LOOKED_FOR:])


def _now() -> float:
    return asyncio.get_running_loop().time()
