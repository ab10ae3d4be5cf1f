"""OAuth tokens for servers behind a URL.

Obtaining (`ServerTokens`):

1. A token is requested as the pinned client, without data of the caller. The daemon records the intent before
   the request and the grant before use; without a record no token is requested or used.
2. Tokens exist only in this process's memory, and the leak filter knows one before it is used.
3. Requests are serialized. A token is renewed a fifth of its lifetime before expiry (1.5 s to a minute), by a
   monotonic clock counted from before the request. While the issuer is unreachable the old token is used
   until expiry.
4. A token that the server rejected is never sent again; the next request gets another, within bounds.
5. Each token is revoked: at once after rejection or the connection's end; after replacement, once requests in
   flight are done.

Ending (`Endings`):

1. Revocation is retried until the issuer confirms it or the token expires, independent of server and gateway.
2. The result is recorded, and recording is retried; a failed first attempt is recorded too, so that a token
   that outlives its task is visible.
3. At process exit, tokens not revoked within a few seconds are reported as left.

Bounds (`TokenBackoff`, `LiveTokens`):

1. A client that its authorization server refused is not retried for `PATIENCE` seconds: no agent can have an
   account locked.
2. After a server rejects two successive tokens within `PATIENCE` seconds, it gets no tokens of those tasks
   for that time, also after a restart. Other tasks are unaffected.
3. The tasks of one process get at most `MOST_ASKED` tokens in `PATIENCE` seconds.
4. A token belongs to one server connection. A token that an issuer returns twice is refused: two tasks would
   share it.
5. Every live token of a server is hidden in its output to all tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from dataclasses import field
from typing import TYPE_CHECKING, Final, Literal, Protocol

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, TaskboundError, UnavailableError
from taskbound.core.tool.oauth.client import (
    BadTokenError,
    TokenRefusedError,
    TokenTooWideError,
    TokenUnavailableError,
)
from taskbound.surfaces.egress.errors import TokenNotTakenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from taskbound.core.tool import Binding, ServerIdentity, Slot
    from taskbound.core.tool.oauth.client import OAuthClient
    from taskbound.core.tool.oauth.token import Token
    from taskbound.ports.upstream import Upstream, UpstreamEvents
    from taskbound.surfaces.egress.asking import PendingRequests
    from taskbound.surfaces.egress.authority import Authority, Permits

    TokenState = Literal["asked", "given", "refused", "unconfirmed", "revoked", "lapsed", "left"]
    Tell = Callable[[str, TokenState, int, str], Awaitable[None]]
    """Has the daemon record a token's name, state, remaining seconds, and why."""
    Hear = Callable[[tuple[str, ...]], None]
    """Hears the tokens of a server that live, the last ones."""


_log = logging.getLogger(__name__)
_FIRST_PAUSE: Final = 1.0
_LAST_PAUSE: Final = 30.0
_LEAVING: Final = 5.0
"""Seconds that the process goes on for tokens when it ends, of which an issuer gets `_LAST_WORD`."""
_LAST_WORD: Final = 3.0


class Issuer(Protocol):
    """The authorization server of a pinned client."""

    @property
    def revocable(self) -> bool:
        pass

    async def ask(self) -> Token:
        """Returns a new token. MUST raise `TaskboundError` without one, and send nothing twice."""

    async def revoke(self, token: str) -> None:
        """Revokes a token. MUST raise `UnavailableError` unless the issuer confirms it."""


@dataclass(slots=True, kw_only=True)
class Held:
    """One token; it is not in its repr."""

    name: str
    value: str = field(repr=False)
    began: float
    """When it was asked for, by the loop's clock in seconds, as the next two."""
    renew: float
    over: float
    untaken: bool = False


class Endings:
    """Tokens that are being revoked; one instance for the process."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()
        self._bounds: set[asyncio.Timeout] = set()
        """Of what issuers are being asked now."""

    def begin(self, held: Held, issuer: Issuer, tell: Tell) -> None:
        self.mind(asyncio.get_running_loop().create_task(self._end(held, issuer, tell)))

    async def close(self) -> None:
        """Revokes what it can within a few seconds, and reports the rest as left (rule 3)."""
        self._leaving.set()
        now = asyncio.get_running_loop().time()
        for one in self._bounds:
            if one.when() is None:
                one.reschedule(now + _LAST_WORD)
        end = now + _LEAVING
        while self._open and (left := end - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(tuple(self._open), timeout=left)
        for task in tuple(self._open):
            task.cancel()

    def mind(self, task: asyncio.Task[None]) -> None:
        """Also waits for this task before the process exits."""
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _end(self, held: Held, issuer: Issuer, tell: Tell) -> None:
        state, why = await self._given_back(held, issuer, tell)
        pause = _FIRST_PAUSE
        while not await _recorded(tell, held, state, why) and not self._leaving.is_set():  # 2
            pause = await self._paused(pause)

    async def _given_back(self, held: Held, issuer: Issuer, tell: Tell) -> tuple[TokenState, str]:
        loop, pause, said = asyncio.get_running_loop(), _FIRST_PAUSE, False
        if not issuer.revocable:
            return "left", "not-revocable"
        while loop.time() < held.over:
            code = await self._asked_back(held, issuer)
            if not code:
                return "revoked", ""
            if self._leaving.is_set():
                return "left", code
            said = said or await _recorded(tell, held, "unconfirmed", code)
            pause = await self._paused(min(pause, max(held.over - loop.time(), 0.0)))
        return "lapsed", ""

    async def _asked_back(self, held: Held, issuer: Issuer) -> str:
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(now + _LAST_WORD if self._leaving.is_set() else None) as bound:
                self._bounds.add(bound)
                try:
                    await issuer.revoke(held.value)
                finally:
                    self._bounds.discard(bound)
        except TimeoutError:
            return "timed-out"
        except TaskboundError as error:
            _log.warning("the token %s is not given back: %s", held.name, error.message)
            return error.code
        return ""

    async def _paused(self, pause: float) -> float:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._leaving.wait()
        return min(2 * max(pause, _FIRST_PAUSE), _LAST_PAUSE)


async def _recorded(tell: Tell, held: Held, state: TokenState, why: str) -> bool:
    rest = max(int(held.over - asyncio.get_running_loop().time()) + 1, 1)
    try:
        await tell(held.name, state, rest if state in {"left", "unconfirmed"} else 0, why)
    except TaskboundError as error:
        _log.warning("what became of the token %s could not be recorded: %s", held.name, error.message)
        return False
    return True


_EARLY: Final = 0.2
_EARLIEST, _LATEST = 60.0, 1.5
_AGAIN: Final = 5.0
"""Seconds after which an issuer that was away is asked again, while the token before is good."""
_GRACE: Final = 10.0
"""Seconds in which a request may be on its way with a token: as long as a connection may take to be made."""
_OVER: Final = "the server's connection is over"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRegistry:
    """State shared by all tokens of the process."""

    issuer: Callable[[OAuthClient, str], Issuer]
    """The authorization server of a pinned client, asked with this secret."""
    kept: Callable[[str], None]
    """Hears of each token before it is used, for logs to be held back."""
    refusals: TokenBackoff
    known: LiveTokens
    endings: Endings


class ServerTokens:
    """The tokens of one server (`adapters.upstream.mcp.filling.Tokens`)."""

    def __init__(
        self,
        desk: TokenRegistry,
        issuer: Issuer,
        *,
        client: str,
        server: str,
        place: str,
        tell: Tell,
    ) -> None:
        """Starts without a token.

        `client` identifies the pinned client and its secret, `place` that client with its tasks; `tell`
        has the daemon record a token's state.
        """
        self._desk = desk
        self._issuer = issuer
        self._client = client
        self._server = server
        self._place = place
        self._tell = tell
        self._held: Held | None = None
        self._before: dict[str, tuple[Held, asyncio.TimerHandle]] = {}
        """By name: those in whose place another one came just now (rule 5)."""
        self._renewal: asyncio.Task[None] | None = None
        self._over = False

    async def current(self) -> str:
        """Returns a valid token; raises TokenNotTakenError if the server rejects its tokens (rule 4)."""
        self._require_open()
        self._desk.refusals.require_taken(self._place)
        held = self._held
        if held is None or held.untaken or _now() >= held.renew:
            if self._renewal is None or self._renewal.done():  # 3
                self._renewal = asyncio.get_running_loop().create_task(self._renew())
                self._renewal.add_done_callback(_seen)
                self._desk.endings.mind(self._renewal)
            await asyncio.shield(self._renewal)  # who stops waiting loses no token
        self._require_open()
        if self._held is None:
            raise TokenNotTakenError(_OVER)
        return self._held.value

    def _require_open(self) -> None:
        if self._over:
            raise TokenNotTakenError(_OVER)

    def refused(self, token: str) -> None:
        """Records that the server rejected this token (rule 4)."""
        held = self._held
        if held is None or held.value != token or held.untaken:
            return
        held.untaken = True
        self._desk.refusals.note_untaken(self._place, held.began)

    def end(self) -> None:
        """Revokes the token after the server's connection ended (rule 5)."""
        self._over = True
        self._leave()
        for name in tuple(self._before):
            self._retired(name)

    def _leave(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._give_back(held)

    def _give_back(self, held: Held) -> None:
        self._desk.endings.begin(held, self._issuer, self._tell)

    async def _renew(self) -> None:
        before = self._held
        try:
            fresh = await self._fresh()
        except UnavailableError as error:
            if before is None or before is not self._held or not _lasts(before):
                self._leave()
                raise
            _log.warning("the token %s is used on: %s", before.name, error.message)
            before.renew = min(_now() + _AGAIN, before.over - _LATEST)  # 3
            return
        except BaseException:
            self._leave()
            raise
        if self._over:  # it ended while this was asked for
            self._give_back(fresh)
            return
        self._held = fresh
        if before is not None:
            self._retire(before)

    def _retire(self, held: Held) -> None:
        grace = 0.0 if held.untaken else min(_GRACE, max(held.over - _now(), 0.0) / 2)
        timer = asyncio.get_running_loop().call_later(grace, self._retired, held.name)
        self._before[held.name] = (held, timer)

    def _retired(self, name: str) -> None:
        held, timer = self._before.pop(name)
        timer.cancel()
        self._give_back(held)

    async def _fresh(self) -> Held:
        self._desk.refusals.require_none(self._client, self._place)
        name = f"tok_{secrets.token_hex(16)}"
        await self._tell(name, "asked", 0, "")  # 1
        began = _now()
        try:
            token = await self._issuer.ask()
            over = began + token.seconds
            self._desk.known.add(self._server, token.value, over)  # 2
        except TaskboundError as error:
            await self._refuse(name, error)
            raise
        self._desk.kept(token.value)  # 2
        early = min(_EARLIEST, max(_LATEST, token.seconds * _EARLY))
        held = Held(name=name, value=token.value, began=began, renew=over - early, over=over)
        try:
            await self._tell(name, "given", token.seconds, "")
        except BaseException:
            self._give_back(held)
            raise
        return held

    async def _refuse(self, name: str, error: TaskboundError) -> None:
        if isinstance(error, TokenRefusedError | TokenTooWideError):
            self._desk.refusals.note(self._client, error)
        with contextlib.suppress(UnavailableError, DeniedError):
            await self._tell(name, "refused", 0, error.code)


def _lasts(held: Held) -> bool:
    return not held.untaken and _now() < held.over - _LATEST


def _seen(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()


def _now() -> float:
    return asyncio.get_running_loop().time()


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
    untaken: float = _NEVER
    """When a token was not taken last."""
    rest: float = _NEVER
    """Until when nothing is sent."""
    asked: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_ASKED))
    """When the last tokens were asked for."""


class TokenBackoff:
    """Recently refused clients and servers that reject tokens (rules 1 to 3)."""

    def __init__(self) -> None:
        self._until: dict[str, tuple[float, DeniedError]] = {}
        self._places: dict[str, _Place] = {}

    def note(self, client: str, error: DeniedError) -> None:
        self._until.pop(client, None)
        while len(self._until) >= _KEPT:
            del self._until[next(iter(self._until))]
        self._until[client] = (_now() + PATIENCE, error)

    def note_untaken(self, place: str, began: float) -> None:
        one, now = self._place(place), _now()
        if began > one.untaken and now - one.untaken < PATIENCE:
            one.rest = now + PATIENCE
        one.untaken = now

    def require_taken(self, place: str) -> None:
        """Raises TokenNotTakenError if the server gets no tokens for now (rule 2)."""
        one = self._places.get(place)
        if one is not None and _now() < one.rest:
            raise TokenNotTakenError("the server does not take the tokens that its issuer gives")

    def require_none(self, client: str, place: str) -> None:
        """Counts a request; raises DeniedError for a refused client, TokenUnavailableError at the limit."""
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


class LiveTokens:
    """Live tokens, including those being revoked (rules 4 and 5)."""

    def __init__(self) -> None:
        self._live: dict[str, tuple[str, float]] = {}
        self._ears: dict[str, list[Hear]] = {}

    def add(self, server: str, token: str, over: float) -> None:
        """Adds a token valid until `over`; raises BadTokenError if it was added before."""
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
        """Reports the server's live tokens to `ear`, now and after each addition (rule 5)."""
        self._ears.setdefault(server, []).append(ear)
        ear(self._last(server))

    def leave(self, server: str, ear: Hear) -> None:
        ears = [one for one in self._ears.pop(server, []) if one != ear]
        if ears:
            self._ears[server] = ears

    def _last(self, server: str) -> tuple[str, ...]:
        found = [one for one, (whose, _) in self._live.items() if whose == server]
        return tuple(found[-_LOOKED_FOR:])


class OpenSealed(Protocol):
    """The egress' private key."""

    @property
    def public(self) -> str:
        pass

    def open(self, sealed: str, binding: Binding) -> str:
        """Opens a value sealed for exactly this binding. MUST raise `BadSecretError` for anything else."""


class StartFilled(Protocol):
    """Starts or reaches a server with values in its slots."""

    async def __call__(
        self,
        identity: ServerIdentity,
        *,
        era: str,
        events: UpstreamEvents,
        values: Mapping[Slot, str],
        offers: bytes,
        tokens: ServerTokens | None,
    ) -> Upstream:
        """Returns the server, ready for calls; duties as `ports.upstream.StartUpstream`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartDependencies:
    """Dependencies for starting and calling servers; one instance for the process."""

    authority: Authority
    key: OpenSealed
    start: StartFilled
    permits: Permits
    tokens: TokenRegistry
    asking: PendingRequests
    kept: Callable[[object, frozenset[str]], None]
    """Hears of the values of each server that is started, for logs to be held back: of whose they are, and of
    none once that is over."""
