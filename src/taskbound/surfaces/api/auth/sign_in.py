"""Operations of the pages on which people sign in and out.

1. The API process asks in its own name, with what a browser showed; other callers are refused.
2. Each issuer has its own threads and its own limit of waiting sign-ins, so a slow issuer delays only its
   own. A slot is free again when its thread ends, whether or not the caller still waits.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.core.clock import seconds
from taskbound.core.identity import UnprovenError
from taskbound.core.identity.sign_in import WAITS, NotSignedInError, SignInReturn, TooManySignInsError
from taskbound.surfaces.api.auth.authority import again
from taskbound.surfaces.api.server.operation import operation
from taskbound.wire import identity as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from taskbound.flows.identity.sign_in import NewSession
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.envelope import Answer
    from taskbound.wire.network import Shown


T = TypeVar("T")
Lane = tuple[str, str]
"""What is waited for: a namespace and an issuer's short name as it was asked for; no name means each."""
_THREADS: Final = 4
"""Threads in which one issuer is waited for."""
_OF_ONE: Final = 16
"""Sign-ins that wait for one issuer, those that wait for a thread of it among them (rule 2)."""
_AT_ONCE: Final = 256
"""The limit of waiting sign-ins over all issuers: invented issuers' names get no threads beyond it."""


def require_page(connection: Connection) -> Shown:
    """Returns what the browser of a page showed (rule 1); raises UnprovenError for other callers."""
    if connection.shown is None:
        raise UnprovenError("this is asked by a page of ours, and by nothing else")
    return connection.shown


@operation(wire.ShowSignIn)
async def _show(daemon: Daemon, connection: Connection, _ask: wire.ShowSignIn) -> Answer:
    shown = require_page(connection)

    def read() -> Answer:
        issuers = tuple(one.name for one in daemon.sign_ins.choices(connection.namespace))
        try:
            found = daemon.sign_ins.person(shown)
        except NotSignedInError:
            return wire.SignInShown(issuers=issuers)
        left = max(0, found.until - daemon.adapters.clock.now())
        return wire.SignInShown(
            issuers=issuers,
            person=found.actor.name,
            issuer=found.proof.issuer,
            seconds=left // seconds(1),
        )

    return await daemon.read(read)


@operation(wire.BeginSignIn)
async def _begin(daemon: Daemon, connection: Connection, ask: wire.BeginSignIn) -> Answer:
    shown = require_page(connection)
    work = partial(
        daemon.sign_ins.begin,
        connection.namespace,
        ask.issuer,
        back=ask.back,
        address=shown.address,
        max_age=ask.max_age,
        acr=ask.acr,
    )
    begun = await beside((connection.namespace, ask.issuer), work)
    return wire.SignInBegun(
        url=begun.url, state=begun.state, secret=begun.secret, seconds=WAITS // seconds(1)
    )


@operation(wire.TakeSignIn)
async def _take(daemon: Daemon, connection: Connection, ask: wire.TakeSignIn) -> Answer:
    shown = require_page(connection)
    brought = SignInReturn(issuer=ask.issuer, code=ask.code, iss=ask.iss, error=ask.error)
    # An issuer is asked only where it is the one at whose address the browser came back.
    proven = await beside(
        (connection.namespace, ask.issuer),
        partial(daemon.sign_ins.prove, ask.state, brought, ask.secret, address=shown.address),
    )

    def work() -> NewSession:
        entered = daemon.sign_ins.enter(proven, address=shown.address, before=shown)
        daemon.views.forget()
        return entered

    entered = await daemon.first(work)
    daemon.tell_ended(entered.moved)
    left = entered.session.until - entered.session.began
    return wire.SignInTaken(secret=entered.secret, seconds=left // seconds(1), back=entered.back)


@operation(wire.EndSignIn)
async def _end(daemon: Daemon, connection: Connection, _ask: wire.EndSignIn) -> Answer:
    shown = require_page(connection)
    await daemon.first(partial(daemon.sign_ins.sign_out, shown))
    return Done()


class _Waiting:
    """The waiting sign-ins by issuer (rule 2); used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lanes: dict[Lane, ThreadPoolExecutor] = {}
        self._counts: dict[Lane, int] = {}

    def submit(self, lane: Lane, work: Callable[[], T]) -> Future[T]:
        with self._lock:
            count = self._counts.get(lane, 0)
            if count >= _OF_ONE:
                raise TooManySignInsError(f"{_OF_ONE} sign-ins wait for this issuer")
            if sum(self._counts.values()) >= _AT_ONCE:
                raise TooManySignInsError(f"{_AT_ONCE} sign-ins wait for their issuers")
            if lane not in self._lanes:
                self._lanes[lane] = ThreadPoolExecutor(_THREADS, thread_name_prefix="sign-in")
            self._counts[lane] = count + 1
            future = self._lanes[lane].submit(work)
        future.add_done_callback(lambda _: self._leave(lane))
        return future

    def _leave(self, lane: Lane) -> None:
        with self._lock:
            self._counts[lane] -= 1
            if not self._counts[lane]:
                del self._counts[lane]
                self._lanes.pop(lane).shutdown(wait=False)


@cache
def _waiting() -> _Waiting:
    return _Waiting()


async def beside(lane: Lane, work: Callable[[], T]) -> T:
    """Runs work in a thread of this issuer (rule 2); raises TooManySignInsError at its limit."""
    do = again()
    return await asyncio.wrap_future(_waiting().submit(lane, lambda: do(work)))
