"""Whether a token still holds when it is shown: what ended is heard from a feed, or asked of the issuer.

1. A feed in memory says it at once, as long as it is fresh (`Status`). Where it is not, the issuer is asked
   (`Asking`); and where that does not answer, nothing is done (law 10).
2. An answer is believed only where it is of this very token: `active` is `true`, and `jti` and `txn` are the
   token's. That a token is not active is a refusal, anything that can't be read an answer that did not come.
3. Nothing of an answer is kept: the next token is asked for anew.
4. What was heard or answered before something that can wait is looked at once more after it: of a feed what
   it says then, of an answer that it is no older than a feed may be, from before it was asked for.
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
"""Seconds after which an issuer that has not answered counts as silent (rule 5)."""


class Status(Protocol):
    """What was heard of ends of authority in one namespace."""

    @property
    def namespace(self) -> str:
        """Which one: of what is in another, nothing is ever heard."""

    def require_clear(self, things: Sequence[Thing]) -> None:
        """Return only when none of these is over or stopped, as far as was heard within the bound.

        MUST raise a `DeniedError` where one is. MUST raise an `UnavailableError` where what was heard is
        older than its bound (5 s), or may have a gap. Any other error is taken as the second. MUST NOT
        wait.
        """


class Asking:
    """Asks the issuer what a token is worth (RFC 7662); safe from any thread."""

    def __init__(self, ask: Callable[[str], bytes]) -> None:
        """Keep how to ask.

        Args:
            ask: Sends the token to the issuer's introspection endpoint, as a service that proves itself
                there, and gives the body of its answer with status 200, within seconds. It raises `OSError`
                or a `TaskboundError` where there is none.
        """
        self._ask = ask
        self._silent = False
        self._waiting = threading.Lock()
        """Held by who waits for an issuer that is silent (rule 5)."""
        anew_in_children(self, Asking.begin_anew)

    def begin_anew(self) -> None:
        """Go on in the child of a fork: who waited in the parent does not do so here."""
        self._waiting = threading.Lock()

    def require_active(self, text: str, said: Said) -> None:
        """Return only when the issuer says that this token holds now (rule 2).

        Raises:
            TokenInactiveError: It says that it doesn't.
            StatusUnknownError: It says nothing that is believed.
        """
        try:
            answer = parse_object(self._heard(text), limits=_LIMITS)
        except StatusUnknownError:
            raise  # 5
        except (OSError, MalformedError, UnavailableError) as error:
            raise StatusUnknownError("the issuer does not say whether the token holds") from error
        if answer.get("active") is False:
            raise TokenInactiveError("the issuer says that the token is worth nothing")
        of = answer.get("jti"), answer.get("txn")
        if answer.get("active") is not True or of != (said.token, said.txn):
            raise StatusUnknownError("the issuer's answer is not of this token")

    def _heard(self, text: str) -> bytes:
        """The issuer's answer, for which nobody waits behind another one while it is silent (rule 5)."""
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
    """Go on only with a token that holds now (rule 1).

    Raises:
        DeniedError: It doesn't, and what ended.
        UnavailableError: Nobody can tell.
    """
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
    """Go on only where what was found by `require_holds` holds still (rule 4); it doesn't wait.

    Args:
        said: What the token says.
        status: As of `require_holds`.
        asking: As of `require_holds`.
        asked: When that began, by `taskbound.sdk.fresh.awake`.

    Raises:
        DeniedError: It doesn't, and what ended.
        UnavailableError: Nobody can tell.
    """
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
