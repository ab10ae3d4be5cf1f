"""Whether a token still holds: by a fresh feed, or by asking the issuer.

1. A fresh feed answers from memory (`Status`); otherwise the issuer is asked (`Asking`); without an answer
   nothing is done (law 10).
2. An answer counts only for this token: `active` is `true`, `jti` and `txn` match. *Inactive* is a refusal;
   an unreadable answer does not count. No answer is cached.
3. After a step that can wait, status is checked again: by the feed, or that the answer is no older than a
   feed may be, counted from before the question.
4. While an issuer is silent one caller waits for it; others are refused at once.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.action import Limits, parse_object
from taskbound.core.errors import MalformedError, UnavailableError
from taskbound.sdk.fresh import BOUND, awake
from taskbound.sdk.verify.errors import StatusUnknownError, TokenInactiveError
from taskbound.sdk.verify.keys import anew_in_children

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.core.revocation import Thing
    from taskbound.sdk.verify.keys import Said


_LIMITS: Final = Limits(size=65_536, depth=8, parts=256)
_SILENT: Final = 1.0
"""Seconds after which an issuer that has not answered counts as silent (rule 4)."""


class Status(Protocol):
    """Known revocations of one namespace."""

    @property
    def namespace(self) -> str:
        """Returns its namespace; items of others are unknown."""

    def require_clear(self, things: Sequence[Thing]) -> None:
        """Returns only if none of these is revoked or stopped; MUST NOT wait.

        MUST raise a `DeniedError` if one is, and an `UnavailableError` if the feed is older than 5 s or may
        have a gap.
        """


class Asking:
    """Asks the issuer for a token's status (RFC 7662); thread-safe."""

    def __init__(self, ask: Callable[[str], bytes]) -> None:
        """`ask` introspects with the service's own credential and returns the body of a 200 answer."""
        self._ask = ask
        self._silent = False
        self._waiting = threading.Lock()
        """Held by who waits for an issuer that is silent (rule 4)."""
        anew_in_children(self, Asking.begin_anew)

    def begin_anew(self) -> None:
        """Resets the waiting lock in a forked child."""
        self._waiting = threading.Lock()

    def require_active(self, text: str, said: Said) -> None:
        """Raises TokenInactiveError or StatusUnknownError unless this token is active (rule 2)."""
        try:
            answer = parse_object(self._heard(text), limits=_LIMITS)
        except StatusUnknownError:
            raise
        except (OSError, MalformedError, UnavailableError) as error:
            raise StatusUnknownError("the issuer does not say whether the token holds") from error
        if answer.get("active") is False:
            raise TokenInactiveError("the issuer says that the token is worth nothing")
        of = answer.get("jti"), answer.get("txn")
        if answer.get("active") is not True or of != (said.token, said.txn):
            raise StatusUnknownError("the issuer's answer is not of this token")

    def _heard(self, text: str) -> bytes:
        if not self._silent:
            return self._timed(text)
        waiting = self._waiting
        if not waiting.acquire(blocking=False):
            raise StatusUnknownError("the issuer has not answered lately, and another token waits for it now")
        try:
            return self._timed(text)
        finally:
            waiting.release()

    def _timed(self, text: str) -> bytes:
        began, answered = awake(), False
        try:
            answer = self._ask(text)
            answered = True
        finally:
            self._silent = not answered and awake() - began >= _SILENT
        return answer


def require_holds(text: str, said: Said, *, status: Status | None, asking: Asking | None) -> None:
    """Raises DeniedError unless the token holds now, UnavailableError if unknown (rule 1)."""
    stale: UnavailableError | None = None
    if status is not None:
        try:
            status.require_clear(said.things())
        except UnavailableError as error:
            stale = error
        else:
            return
    if asking is None:
        raise stale or StatusUnknownError("nothing says whether the token holds")
    asking.require_active(text, said)


def require_still_holds(said: Said, *, status: Status | None, asking: Asking | None, asked: float) -> None:
    """Checks again without waiting (rule 3); `asked`: begin of `require_holds`, by `awake`."""
    if status is not None:
        try:
            status.require_clear(said.things())
        except UnavailableError:
            if asking is None:
                raise
        else:
            return
    if awake() - asked > BOUND:
        raise StatusUnknownError("what the issuer said of the token is older than it may be")
