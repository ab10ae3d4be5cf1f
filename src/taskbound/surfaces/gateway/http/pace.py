"""How often an address may ask a front, and how much of the daemon's time who is not known yet may have.

1. A request without a token counts for its address, one whose token a seat holds for that token at that
   address, and one with a token that no seat holds for the address' bucket of these: what strangers make up
   is asked about seldom, and whose task is served already is not kept waiting by it.
2. Of the questions that are asked at once one address has a part, and tokens that no seat holds have a part:
   neither leaves nothing for the others. Behind one address all of its clients are one, as all of this
   machine are.
3. A token that no seat holds is one of strangers until the daemon has said whose it is. Its text gives
   nothing else: whether it holds, and who has its key, the daemon says each time.
4. Of an address' requests that show one such token the first is asked about, and the others wait for that: a
   client that renewed its token shows the new one in all that it has to ask, and is no stranger. Where the
   first finds that nobody can be asked, the others have found it too: they do not find it one after another.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from taskbound.sdk.client import DaemonLostError
from taskbound.surfaces.http.errors import FrontFullError, TooManyRequestsError
from taskbound.surfaces.http.rate import Buckets, network_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskbound.surfaces.gateway.http.bounds import FrontBounds


class Pace:
    """What all addresses have asked; used in the loop."""

    def __init__(self, bounds: FrontBounds, clock: Callable[[], float]) -> None:
        """Nobody has asked yet; the clock is of seconds, and steady."""
        self._bounds = bounds
        self._asked = Buckets(burst=bounds.burst, each_second=bounds.rate, clock=clock)
        self._strange = Buckets(burst=bounds.strange_burst, each_second=bounds.strange_rate, clock=clock)
        self._each: Counter[str] = Counter()
        self._each_strange: Counter[str] = Counter()
        self._first: dict[tuple[str, str], asyncio.Future[None]] = {}
        """Tokens that no seat holds and that are asked about, by network and text (rule 4)."""

    def take(self, address: str) -> None:
        """Count one more request without a token (rule 1).

        Raises:
            TooManyRequestsError: It has asked too often.
        """
        self._asked.take(network_of(address), named="this address")

    async def turn(self, address: str, token: str, *, is_known: Callable[[], bool]) -> bool:
        """Wait while another request of this address with this token is asked about (rule 4).

        Args:
            address: Where its client is.
            token: The token's text.
            is_known: Whether a seat holds it.

        Returns:
            Whether a seat holds it now; `question` comes next, and nothing is waited for between.

        Raises:
            DaemonLostError: The other one found that nobody can be asked.
        """
        name = network_of(address)
        while not (known := is_known()) and (first := self._first.get((name, token))) is not None:
            await asyncio.shield(first)  # whoever waits may leave
        return known

    @contextmanager
    def question(self, address: str, token: str, *, known: bool) -> Iterator[None]:
        """The daemon is asked whose a request is, for as long as this lasts (rules 1, 2 and 4).

        What is known of the token by the end of it is known to whoever waited.

        Args:
            address: Where its client is.
            token: The token's text.
            known: Whether a seat holds it.

        Raises:
            FrontFullError: So many are being asked about that no other one is.
            TooManyRequestsError: This address has its part.
        """
        name = network_of(address)
        counted = self._require_room(name, known=known)
        if known:
            self._asked.take((name, token), named="this token")
        for one in counted:
            one[name] += 1
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not known:
            self._first[name, token] = asked
        try:
            yield
        except DaemonLostError as error:
            asked.set_exception(error)
            asked.exception()  # whoever waits has it; nobody may
            raise
        finally:
            for one in counted:
                one[name] -= 1
                if not one[name]:
                    del one[name]
            if not known:
                del self._first[name, token]
            if not asked.done():
                asked.set_result(None)

    def _require_room(self, name: str, *, known: bool) -> list[Counter[str]]:
        """Where one more question of a network counts; raises as `question`."""
        bounds = self._bounds
        if self._each.total() >= bounds.proving:
            raise FrontFullError("whose so many requests are is being asked that no other one is taken")
        if self._each[name] >= bounds.proving_each:
            raise TooManyRequestsError("whose so many requests of this address are is being asked")
        if known:
            return [self._each]
        if self._each_strange.total() >= bounds.strange:
            raise FrontFullError("so many tokens are looked at for the first time that no other one is")
        if self._each_strange[name] >= bounds.strange_each:
            raise TooManyRequestsError("so many tokens of this address are looked at for the first time")
        self._strange.take(name, named="with tokens that are not known yet this address")
        return [self._each, self._each_strange]
