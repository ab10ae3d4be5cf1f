"""Permits as the egress takes them: each for one send of exactly what was decided.

1. A permit counts for the tool, the server's identity, the canonical arguments and the idempotency key that
   it was given for, and until its instant, by the daemon's clock.
2. It is used once. What was used is remembered until it would have lapsed.
3. An answer to a server's question counts for the question, the server's identity and the bytes that are
   recorded as its outcome, recorded after the server asked, and once.
4. One that is older than what this process first heard of the daemon's clock is not used: the process before
   this one may have used it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.tool import SEPARATOR
from taskbound.surfaces.egress.errors import OtherActError, PermitLapsedError, PermitUsedError

if TYPE_CHECKING:
    from taskbound.wire.egress import AnswerOf, Permit


_KEPT: Final = 60_000_000
"""µs that an answer may go to a server after it was recorded."""


class Permits:
    """What was used; shared by every connection of one process."""

    def __init__(self) -> None:
        """Have used none, and know no instant."""
        self._used: dict[str, int] = {}
        self._answered: dict[str, int] = {}
        """Actions whose answers went to servers, and when they were recorded."""
        self._since = -1
        self.now = -1
        """The latest instant of the daemon's that was heard."""

    def hear(self, now: int) -> None:
        """The daemon's clock stands so; the first one counts (rule 4)."""
        self.now = max(self.now, now)
        if self._since < 0:
            self._since = now

    def take(  # noqa: PLR0913 -- all that a permit is for
        self,
        permit: Permit,
        *,
        action: str,
        server: str,
        tool: str,
        identity: str,
        arguments: bytes,
        key: str = "",
    ) -> None:
        """Use a permit for this call.

        Args:
            permit: As the daemon told it just now.
            action: Which one was asked for.
            server: The server's name.
            tool: What is called, by the server's own name.
            identity: Digest of the identity of the server that is started.
            arguments: The bytes that are about to be sent, but for what goes into slots.
            key: The client's idempotency key that goes with them.

        Raises:
            OtherActError: It is for something else (rule 1).
            PermitLapsedError: It has run out.
            PermitUsedError: It was used, or may have been (rules 2 and 4).
        """
        self.now = max(self.now, permit.now)
        wanted = (action, f"{server}{SEPARATOR}{tool}", identity, sha256(arguments).hexdigest(), key)
        if (permit.action, permit.tool, permit.server, permit.sha256, permit.key) != wanted:
            raise OtherActError("the permit is for another call")
        if permit.now > permit.until:
            raise PermitLapsedError("the permit ran out before the call was sent")
        if action in self._used or self._since < 0 or permit.at < self._since:
            raise PermitUsedError("the permit was used already, or before this process began")
        self._used = {one: until for one, until in self._used.items() if until >= permit.now}
        self._used[action] = permit.until

    def answer(  # noqa: PLR0913 -- all that an answer is to
        self,
        said: AnswerOf,
        *,
        action: str,
        tool: str,
        identity: str,
        arguments: str,
        answer: str,
        since: int,
    ) -> None:
        """Use an answer for this question (rule 3).

        Args:
            said: As the daemon told it just now.
            action: Which one was asked for.
            tool: What the question is called, `server__method`.
            identity: Digest of the identity of the server that asks.
            arguments: SHA-256 of the question's canonical parameters.
            answer: SHA-256 of the bytes that are about to be told.
            since: The instant that was heard last when the server asked.

        Raises:
            OtherActError: It is to something else, or something else was answered.
            PermitLapsedError: It was given too long ago.
            PermitUsedError: It was used, or is to what was asked before.
        """
        self.now = max(self.now, said.now)
        wanted = (action, tool, identity, arguments, answer)
        if (said.action, said.tool, said.server, said.sha256, said.answer_sha256) != wanted:
            raise OtherActError("this is not what was answered to the question")
        if said.now - said.finished > _KEPT:
            raise PermitLapsedError("the answer was given too long ago")
        if action in self._answered or said.finished < max(since, self._since):
            raise PermitUsedError("the answer was used already, or was given before the server asked")
        self._answered = {one: at for one, at in self._answered.items() if said.now - at <= _KEPT}
        self._answered[action] = said.finished
