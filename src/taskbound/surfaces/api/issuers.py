"""Issuers of workloads, each asked for its keys in a thread of its own while those who need them wait.

1. One issuer is asked by one thread, once at a time: whoever comes meanwhile waits for the same answer. So an
   issuer that hangs, or says what it says drop by drop, has one thread and delays who shows its tokens.
2. Who needs an answer waits for it, a few of one issuer at once. Whoever comes beyond that is refused at
   once, and so is who would have one more issuer asked than may be. Strangers make up no issuers: only those
   that were written down are asked.
3. Whose key is known, and only old, waits `PATIENCE` from when it was asked for: then it counts as known, as
   it would if the issuer had failed. Nor is any of these refused because too many wait.
4. A thread ends with its issuer's answer, and never keeps the daemon from ending.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.ports.identity import Need
from taskbound.surfaces.api.worker import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.identity.oidc import IdentityIssuer
    from taskbound.ports.identity import Awaited


PATIENCE: Final = 2.0
"""Seconds for which an issuer is waited for by those whose key is known (rule 3)."""
_OF_ONE: Final = 16
"""Who may wait for one issuer (rule 2)."""
_AT_ONCE: Final = 64
"""Issuers that are asked at once, each in its thread (rule 2)."""


@dataclass(slots=True, eq=False)
class _Asked:
    answered: asyncio.Future[None]
    begun: float
    waiting: int = 0


class Issuers:
    """Has them asked; used in the loop."""

    def __init__(self) -> None:
        """Nobody is asked yet."""
        self._asked: dict[IdentityIssuer, _Asked] = {}

    async def ask(self, awaited: Awaited, work: Callable[[], None]) -> None:
        """Have this work ask for what is awaited, and return when who awaits it can go on (rules 2 and 3).

        Raises:
            OverloadedError: Too many wait, or too many issuers are asked.
        """
        loop, known = asyncio.get_running_loop(), awaited.need is Need.NEWS
        asked = self._asked.get(awaited.issuer)
        if asked is None:
            if len(self._asked) >= _AT_ONCE:
                if known:
                    return  # 3
                raise OverloadedError(f"{_AT_ONCE} issuers of workloads are waited for")  # 2
            asked = self._begin(awaited.issuer, work)
        patience = asked.begun + PATIENCE - loop.time() if known else None
        if asked.waiting >= _OF_ONE:
            if known:
                return  # 3
            raise OverloadedError(f"{_OF_ONE} requests wait for this issuer of workloads")  # 2
        asked.waiting += 1
        try:
            await asyncio.wait([asked.answered], timeout=None if patience is None else max(0.0, patience))
        finally:
            asked.waiting -= 1
        if asked.answered.done():
            asked.answered.result()

    def _begin(self, issuer: IdentityIssuer, work: Callable[[], None]) -> _Asked:
        loop = asyncio.get_running_loop()
        asked = self._asked[issuer] = _Asked(loop.create_future(), loop.time())

        def end(error: Exception | None) -> None:
            del self._asked[issuer]
            if error is None:
                asked.answered.set_result(None)
            else:
                asked.answered.set_exception(error)

        def run() -> None:
            failed: Exception | None = None
            try:
                work()
            except Exception as error:  # noqa: BLE001 - carried over to whoever waits
                failed = error
            with suppress(RuntimeError):  # the loop has ended meanwhile, and nobody waits
                loop.call_soon_threadsafe(end, failed)

        threading.Thread(target=run, name="issuer", daemon=True).start()  # 4
        return asked
