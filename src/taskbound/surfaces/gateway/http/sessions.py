"""Sessions of MCP 2025-11-25: a name for what one `initialize` began, and never a right.

1. A session is its task's, and outlives the token that began it. Whoever shows its name with another task's
   token learns what one learns who made a name up.
2. The name is of chance, so that a client that never saw it can't end or cancel what another one of the
   same task does.
3. What is not used for its time is forgotten; of one task there are so many, and the one that was used
   least lately makes room.
"""

from __future__ import annotations

import secrets
from dataclasses import field
from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.surfaces.gateway.http.errors import NoSessionError, UnknownSessionError
from taskbound.surfaces.gateway.talk import Talk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.http.bounds import FrontBounds
    from taskbound.surfaces.gateway.http.reply import Reply
    from taskbound.wire.mcp.message import Id


@dataclass(slots=True, kw_only=True)
class Session:
    """One of them."""

    name: str
    used: float
    capabilities: Mapping[str, JsonValue]
    """What its client has declared."""
    open: dict[Id, int] = field(default_factory=dict)
    """By the client's id: the number of the exchange that it is open in."""
    talk: Talk = field(default_factory=Talk)
    """What its client has asked to hear."""
    outside: Reply | None = None
    """Its stream of what belongs to no request."""


class Sessions:
    """Those of one task."""

    def __init__(
        self, bounds: FrontBounds, clock: Callable[[], float], *, over: Callable[[Session], None]
    ) -> None:
        """Start with none; the clock is the loop's, and `over` is told of each that ends."""
        self._over = over
        self._bounds = bounds
        self._clock = clock
        self._all: dict[str, Session] = {}

    def begin(self, capabilities: Mapping[str, JsonValue]) -> Session:
        """A new session of a client with these (rules 2 and 3)."""
        self._forget()
        while len(self._all) >= self._bounds.sessions:
            self._drop(min(self._all.values(), key=lambda one: one.used))
        made = Session(name=secrets.token_urlsafe(32), used=self._clock(), capabilities=capabilities)
        self._all[made.name] = made
        return made

    def of(self, name: str) -> Session:
        """The session of this name (rule 1).

        Raises:
            NoSessionError: No name was given.
            UnknownSessionError: There is none of it.
        """
        if not name:
            raise NoSessionError("the request has no `Mcp-Session-Id`")
        self._forget()
        found = self._all.get(name)
        if found is None:
            raise UnknownSessionError("the session is over, or never was")
        found.used = self._clock()
        return found

    @property
    def all(self) -> tuple[Session, ...]:
        """Every one of them."""
        return tuple(self._all.values())

    def end(self, name: str) -> Session:
        """The session, which is over now; raises as `of`."""
        found = self.of(name)
        self._drop(found)
        return found

    def _drop(self, session: Session) -> None:
        del self._all[session.name]
        self._over(session)

    def _forget(self) -> None:
        oldest = self._clock() - self._bounds.session_idle
        for one in tuple(self._all.values()):
            if one.used < oldest and not one.open and one.outside is None:
                self._drop(one)
