"""Operations of the pages on which people sign in and out.

1. They are asked by the process that listens to the network, in its own name, with what a browser showed;
   whoever else asks is nobody.
2. Issuers are waited for in threads of their own, and by so many at once: an issuer that is slow keeps
   sign-ins waiting and nothing else.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.core.clock import seconds
from taskbound.core.identity import UnprovenError
from taskbound.core.identity.sign_in import WAITS, Brought, NotSignedInError, TooManySignInsError
from taskbound.surfaces.api.authority import again
from taskbound.wire import account as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.flows.identity.sign_in import Entered
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer
    from taskbound.wire.network import Shown

__all__ = ["begin", "beside", "end", "require_page", "show", "take"]

T = TypeVar("T")
_THREADS: Final = 8
_AT_ONCE: Final = 64
"""Sign-ins that wait for their issuers, those that wait for a thread among them (rule 2)."""


def require_page(connection: Connection) -> Shown:
    """What the browser of a page showed (rule 1).

    Raises:
        UnprovenError: It is no page that asks.
    """
    if connection.shown is None:
        raise UnprovenError("this is asked by a page of ours, and by nothing else")
    return connection.shown


async def show(daemon: Daemon, connection: Connection, _ask: wire.ShowSignIn) -> Answer:
    """Where people sign in, and who is signed in with this browser."""
    shown = require_page(connection)

    def read() -> Answer:
        issuers = tuple(one.name for one in daemon.sign_ins.choices(connection.namespace))
        try:
            found = daemon.sign_ins.person(shown)
        except NotSignedInError:
            return wire.SignInShown(issuers=issuers)
        left = max(0, found.until - daemon.means.clock.now())
        return wire.SignInShown(
            issuers=issuers,
            person=found.actor.name,
            issuer=found.proof.issuer,
            seconds=left // seconds(1),
        )

    return await daemon.read(read)


async def begin(daemon: Daemon, connection: Connection, ask: wire.BeginSignIn) -> Answer:
    """Begin a sign-in."""
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
    begun = await beside(work)
    return wire.SignInBegun(
        url=begun.url, state=begun.state, secret=begun.secret, seconds=WAITS // seconds(1)
    )


async def take(daemon: Daemon, connection: Connection, ask: wire.TakeSignIn) -> Answer:
    """Sign whoever came back from their issuer in."""
    shown = require_page(connection)
    brought = Brought(issuer=ask.issuer, code=ask.code, iss=ask.iss, error=ask.error)
    proven = await beside(
        partial(daemon.sign_ins.prove, ask.state, brought, ask.secret, address=shown.address)
    )

    def work() -> Entered:
        entered = daemon.sign_ins.enter(proven, address=shown.address, before=shown)
        daemon.views.forget()
        return entered

    entered = await daemon.first(work)
    daemon.tell_ended(entered.moved)
    left = entered.session.until - entered.session.began
    return wire.SignInTaken(secret=entered.secret, seconds=left // seconds(1), back=entered.back)


async def end(daemon: Daemon, connection: Connection, _ask: wire.EndSignIn) -> Answer:
    """Sign whoever it is out of this browser."""
    shown = require_page(connection)
    await daemon.first(partial(daemon.sign_ins.sign_out, shown))
    return Done()


class _Waiting:
    """Who waits for an issuer (rule 2); used in the loop."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="sign-in")
        self.count = 0


@cache
def _waiting() -> _Waiting:
    return _Waiting()


async def beside(work: Callable[[], T]) -> T:
    """What this work returns or raises, which waits for issuers (rule 2).

    Raises:
        TooManySignInsError: Too much of it waits already.
    """
    waiting = _waiting()
    if waiting.count >= _AT_ONCE:
        raise TooManySignInsError(f"{_AT_ONCE} sign-ins wait for their issuers")
    waiting.count += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(waiting.threads, again(), work)
    finally:
        waiting.count -= 1
